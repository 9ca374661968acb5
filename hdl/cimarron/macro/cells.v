`ifndef CIMARRON_FOUNDRY_CELLS

// A pulse of clk for each cycle that begins with enable high at the rising edge. A clock gating cell of the foundry's.
module cimarron_clock_gate (input clk, input enable, output gated);
  reg held;
  /* verilator lint_off LATCH */
  always @* if (!clk) held = enable;
  /* verilator lint_on LATCH */
  assign gated = clk & held;
endmodule

// Follows d while gate is high. Latches of the foundry's.
module cimarron_latch #(parameter WIDTH = 1) (input gate, input [WIDTH-1:0] d, output reg [WIDTH-1:0] q);
  /* verilator lint_off LATCH */
  always @* if (gate) q = d;
  /* verilator lint_on LATCH */
endmodule

`endif
