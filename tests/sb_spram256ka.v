// The single-port memory block of an iCE40 UltraPlus, as Lattice FPGA-TN-02022 describes it, awake all the time: 16384
// words of 16 bits, a mask bit per nibble, no initial contents, and nothing to read after a write.
module SB_SPRAM256KA (
    input  [13:0] ADDRESS,
    input  [15:0] DATAIN,
    input  [ 3:0] MASKWREN,
    input         WREN,
    input         CHIPSELECT,
    input         CLOCK,
    input         STANDBY,
    input         SLEEP,
    input         POWEROFF,
    output reg [15:0] DATAOUT
);
    reg [15:0] words [0:16383];
    wire awake = POWEROFF & ~SLEEP & ~STANDBY;
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};

    always @(posedge CLOCK)
        if (!awake)
            DATAOUT <= 16'bx;
        else if (CHIPSELECT) begin
            if (WREN)
                words[ADDRESS] <= words[ADDRESS] & ~mask | DATAIN & mask;
            DATAOUT <= WREN ? 16'bx : words[ADDRESS];
        end
endmodule
