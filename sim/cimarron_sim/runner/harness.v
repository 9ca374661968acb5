// The system as the harness drives it.
//
// Reset enters through a register. Straight from a pin it would reach the next state of every register without passing
// one, and Verilator would compute all of that three times per cycle instead of once.
module harness (
    input         clk,
`ifdef DOUBLE_PUMPED
    input         fast_clk,
`endif
    input         rst,
    input         uart_rx,
    output        uart_tx,
    output        event_valid,
    output [31:0] event_word,
    output        retired,
    output        error,
    output        beat,
    output [31:0] busy,
    output [31:0] compute,
    output [31:0] stall_input,
    output [31:0] stall_weights,
    output [31:0] stall_output,
    output [31:0] operations
);
    reg held = 1'b1;
    reg line = 1'b1;

    always @(posedge clk) begin
        held <= rst;
        line <= uart_rx;
    end

    soc soc (
        .clk(clk),
`ifdef DOUBLE_PUMPED
        .fast_clk(fast_clk),
        .fast_rst(1'b0),
`endif
        .rst(held),
        .uart_rx(line),
        .uart_tx(uart_tx),
        .event_valid(event_valid),
        .\event (event_word),
        .monitor__retired(retired),
        .monitor__error(error),
        .monitor__beat(beat),
        .monitor__busy(busy),
        .monitor__compute(compute),
        .monitor__stall_input(stall_input),
        .monitor__stall_weights(stall_weights),
        .monitor__stall_output(stall_output),
        .monitor__operations(operations)
    );
endmodule
