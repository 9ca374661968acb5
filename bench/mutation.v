// Plays a script of writes and operations to a macro and checks what comes back. Ends with PASS or with the first fault.
`timescale 1ns / 1ns
module mutation;
  parameter WRITE_BITS = 1, OPERATION_BITS = 1, RESULT_BITS = 1, SETS = 1, ITEM_BITS = 1;
  parameter BEST_BITS = 1, BEST_LATENCY = 1, BESTS = 1;
  parameter ITEMS = 1, RESULTS = 1, PLANES = 1, DROPPED = 1;
  // Items from BURST on are BURST_LENGTH operations in a row, without stalls: they take BURST_CYCLES.
  parameter BURST = 0, BURST_LENGTH = 1, BURST_CYCLES = 1;
  // Each of so many after the burst, a plane long and with pauses between them, finds a place while no answer is taken.
  parameter STAGES = 1;
  // Cycles in which an answer must come.
  parameter PATIENCE = 8;

  // An item: payload, the set it addresses, whether the set exists, whether it is an operation.
  reg [ITEM_BITS + 8 + 1:0] items[0:ITEMS-1];
  // A result, and above it whether a best match follows.
  reg [RESULT_BITS:0] results[0:RESULTS-1];
`ifdef BEST
  reg [BEST_BITS-1:0] bests[0:BESTS-1];
  wire [BEST_BITS-1:0] best;
  reg [BEST_LATENCY-1:0] due = 0;
  integer found = 0;
`endif
  reg [15:0] mutant;
  reg clk = 0, rst = 1;
  integer item = 0, result = 0, planes = 0, dropped = 0, cycle = 0, idle = 0, seed = 1, burst_start = 0, burst_end = 0;
  integer burst_results = 0, next = 0;
  // Stalls come in kinds, for some cycles each: hardly any, some, many, and long ones.
  integer kind = 0, rest = 0;
  // Cycles for which something was left to answer and nothing was taken: an answer must not wait for that.
  integer taken = 0, held = 0;
  reg moved;

  wire [ITEM_BITS + 8 + 1:0] current = items[item < ITEMS ? item : 0];
  wire operation = current[0], exists = current[1];
  wire [7:0] set = current[9:2];
  reg offer = 0, take = 0;
  wire i_valid = offer && item < ITEMS && operation, w_valid = offer && item < ITEMS && !operation;
  wire i_ready, w_ready, o_valid, plane, write_error;
  wire [RESULT_BITS-1:0] o_payload;
  wire [SETS-1:0] computing;
  reg waiting = 0;
  reg [RESULT_BITS-1:0] waited_for;

  macro dut (
      .mutant(mutant), .clk(clk), .rst(rst),
      .i_stream__valid(i_valid), .i_stream__ready(i_ready), .i_stream__payload(current[10 +: OPERATION_BITS]),
      .write__valid(w_valid), .write__ready(w_ready), .write__payload(current[10 +: WRITE_BITS]),
      .o_stream__valid(o_valid), .o_stream__ready(take), .o_stream__payload(o_payload),
`ifdef BEST
      .best(best),
`endif
      .plane(plane), .write_error(write_error), .computing(computing));

  task fault(input [8*40:1] reason);
    begin
      $display("FAULT %0s in cycle %0d, item %0d, result %0d", reason, cycle, item, result);
      $finish;
    end
  endtask

  always #5 clk = ~clk;

  initial begin
    if (!$value$plusargs("mutant=%d", mutant)) mutant = 0;
    $readmemh("items.hex", items);
    $readmemh("results.hex", results);
`ifdef BEST
    $readmemh("bests.hex", bests);
`endif
    repeat (2) @(posedge clk);
    #1 rst = 0;
  end

  always @(posedge clk) if (!rst) begin
    cycle = cycle + 1;
    idle = idle + 1;
    if (plane) planes = planes + 1;
    if (write_error) dropped = dropped + 1;
    if (^{i_ready, w_ready, o_valid, plane, write_error, computing} === 1'bx) fault("unknown value");
    if (w_valid && w_ready !== !(exists && computing[set])) fault("write waits wrongly");
    if (waiting && (!o_valid || o_payload !== waited_for)) fault("result did not wait");
    waiting = o_valid && !take;
    waited_for = o_payload;
`ifdef BEST
    // 0 but in the declared cycle after a result with one.
    if (best !== (due[BEST_LATENCY-1] ? bests[found] : 0)) fault("wrong best match");
    if (due[BEST_LATENCY-1]) found = found + 1;
    due = due << 1 | (o_valid && take && result < RESULTS && results[result][RESULT_BITS]);
`endif
    if (o_valid && take) begin
      if (result == RESULTS) fault("result too many");
      else if (o_payload !== results[result][RESULT_BITS-1:0]) fault("wrong result");
      result = result + 1;
      idle = 0;
      if (burst_start != 0) begin
        burst_results = burst_results + 1;
        if (burst_results == BURST_LENGTH) burst_end = cycle;
      end
    end
    held = take || taken == result ? 0 : held + 1;
    if (held > PATIENCE && !o_valid) fault("result waits to be taken");
    if (i_valid && i_ready) taken = taken + 1;
    moved = i_valid && i_ready || w_valid && w_ready;
    next = item + moved;
    if (moved) begin
      if (item == BURST) burst_start = cycle;
      idle = 0;
    end
    item <= next;
    // What is offered stays. A burst starts and ends with an empty macro.
    if (offer && !moved) offer <= 1;
    else if (next == BURST || next == BURST + BURST_LENGTH) offer <= idle > 40;
    else if (next > BURST && next < BURST + BURST_LENGTH) offer <= 1;
    else if (next > BURST + BURST_LENGTH && next < BURST + BURST_LENGTH + STAGES) offer <= idle > PATIENCE;
    else offer <= $random(seed) % 4 != 0;
    if (rest == 0) begin
      kind = $unsigned($random(seed)) % 4;
      rest = kind == 3 ? 6 + $unsigned($random(seed)) % 9 : 40;
    end else rest = rest - 1;
    take <= next >= BURST && next <= BURST + BURST_LENGTH ||
        !(next > BURST && next < BURST + BURST_LENGTH + STAGES) &&
        (kind == 0 ? $random(seed) % 16 != 0 : kind == 1 ? $random(seed) % 3 != 0 : kind == 2 && $random(seed) % 4 == 0);
    if (idle > 100 || next == ITEMS && idle > 60) begin
      if (next != ITEMS) fault("nothing moves");
      else if (result != RESULTS) fault("results missing");
      else if (planes != PLANES) fault("planes");
      else if (dropped != DROPPED) fault("dropped writes");
      else if (computing != 0) fault("still computing");
      else if (burst_end - burst_start != BURST_CYCLES) begin
        $display("%0d cycles for the burst, not %0d", burst_end - burst_start, BURST_CYCLES);
        fault("burst took other cycles");
      end
      else $display("PASS in %0d cycles", cycle);
      $finish;
    end
  end
endmodule
