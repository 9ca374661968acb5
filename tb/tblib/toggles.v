// Writes rows into a macro, then sends it operations back to back; what changes from operation FROM on goes to a VCD file.
`timescale 1ns / 1ns
module toggles;
  parameter WRITE_BITS = 1, OPERATION_BITS = 1, WRITES = 1, OPERATIONS = 1, FROM = 0;

  reg [WRITE_BITS-1:0] writes[0:WRITES-1];
  reg [OPERATION_BITS-1:0] operations[0:OPERATIONS-1];
  reg clk = 0, rst = 1;
  integer written = 0, sent = 0, answered = 0;
  wire writing = written < WRITES, sending = !writing && sent < OPERATIONS;
  wire w_ready, i_ready, o_valid;

  macro dut (
      .clk(clk), .rst(rst),
      .write__valid(!rst && writing), .write__ready(w_ready), .write__payload(writes[writing ? written : 0]),
      .i_stream__valid(!rst && sending), .i_stream__ready(i_ready),
      .i_stream__payload(operations[sending ? sent : OPERATIONS - 1]),
      .o_stream__valid(o_valid), .o_stream__ready(1'b1));

  always #5 clk = ~clk;

  initial begin
    $readmemh("writes.hex", writes);
    $readmemh("operations.hex", operations);
    $dumpfile("toggles.vcd");
    repeat (2) @(posedge clk);
    #1 rst = 0;
    // Once the first of them is answered, what came before FROM has left the pipeline.
    wait (answered == FROM);
    #1 $dumpvars(0, dut);
    wait (answered == OPERATIONS);
    #1 $finish;
  end

  always @(posedge clk) if (!rst) begin
    if (writing && w_ready) written <= written + 1;
    if (sending && i_ready) sent <= sent + 1;
    if (o_valid) answered <= answered + 1;
  end
endmodule
