// A board around its top: an oscillator, a button, and a terminal on the serial line. The loops are made of their
// parameters alone, so that a wrong divider garbles the text.
`timescale 1ps / 1ps

module EHXPLLL(
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC, ENCLKOP, ENCLKOS,
    input ENCLKOS2,
    output CLKOP, CLKOS, CLKOS2, LOCK
);
    parameter PLLRST_ENA = "", INTFB_WAKE = "", STDBY_ENABLE = "", DPHASE_SOURCE = "", FEEDBK_PATH = "";
    parameter OUTDIVIDER_MUXA = "", OUTDIVIDER_MUXB = "", OUTDIVIDER_MUXC = "", OUTDIVIDER_MUXD = "";
    parameter CLKOP_ENABLE = "", CLKOS_ENABLE = "", CLKOS2_ENABLE = "";
    parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOS_DIV = 1, CLKOS2_DIV = 1;
    parameter CLKOP_CPHASE = 0, CLKOP_FPHASE = 0, CLKOS_CPHASE = 0, CLKOS_FPHASE = 0;
    parameter CLKOS2_CPHASE = 0, CLKOS2_FPHASE = 0;
    oscillator #(.TIMES(CLKFB_DIV * CLKOP_DIV), .OVER(CLKI_DIV * CLKOS_DIV)) secondary(CLKI, CLKOS, LOCK);
    oscillator #(.TIMES(CLKFB_DIV), .OVER(CLKI_DIV)) primary(CLKI, CLKOP, );
    assign CLKOS2 = 0;
endmodule

module rPLL(
    input CLKIN, CLKFB, RESET, RESET_P, input [5:0] FBDSEL, IDSEL, ODSEL, input [3:0] PSDA, DUTYDA, FDLY,
    output CLKOUT, LOCK
);
    parameter DEVICE = "", FCLKIN = "", DYN_IDIV_SEL = "", DYN_FBDIV_SEL = "", DYN_ODIV_SEL = "", CLKFB_SEL = "";
    parameter CLKOUT_BYPASS = "", CLKOUTP_BYPASS = "", CLKOUTD_BYPASS = "";
    parameter IDIV_SEL = 0, FBDIV_SEL = 0, ODIV_SEL = 8;
    oscillator #(.TIMES(FBDIV_SEL + 1), .OVER(IDIV_SEL + 1)) output_(CLKIN, CLKOUT, LOCK);
endmodule

// TIMES / OVER of the frequency that it is given.
module oscillator #(parameter TIMES = 1, OVER = 1) (input i, output reg o, output reg locked);
    real since, period;
    initial begin
        o = 0;
        locked = 0;
        @(posedge i) since = $realtime;
        repeat (64) @(posedge i);
        period = ($realtime - since) / 64 * OVER / TIMES;
        fork
            forever #(period / 2) o = ~o;
            #(period * 20) locked = 1;
        join
    end
endmodule

module bench;
    parameter real OSCILLATOR_HZ = 50e6, BAUD = 115200;
    parameter RESET_LOW = 0, LEDS = 5, CHARACTERS = 8;

    reg clk = 0, pressed = 0;
    wire uart_tx;
    wire [LEDS - 1:0] led;
    always #(0.5e12 / OSCILLATOR_HZ) clk = ~clk;
    board top(.clk(clk), .rst(RESET_LOW ? ~pressed : pressed), .uart_rx(1'b1), .uart_tx(uart_tx), .led(led));

    real bit_time;
    reg [7:0] character;
    task receive;
        integer index;
        begin
            @(negedge uart_tx);
            #(1.5 * bit_time);
            for (index = 0; index < 8; index = index + 1) begin
                character[index] = uart_tx;
                #(bit_time);
            end
            if (uart_tx !== 1'b1) $display("no stop bit");
        end
    endtask

    initial begin
        bit_time = 1e12 / BAUD;
        // No loop has measured its input by then.
        #(32e12 / OSCILLATOR_HZ) $display("before: led %b", led);
        repeat (CHARACTERS) begin
            receive;
            $write("%c", character);
        end
        $display("\nafter: led %b", led);
        // Shorter than a clock cycle.
        pressed = 1;
        #2000 pressed = 0;
        repeat (CHARACTERS) begin
            receive;
            $write("%c", character);
        end
        $display("\nagain: led %b", led);
        $finish;
    end

    initial begin
        #(20_000_000_000.0) $display("silent");
        $finish;
    end
endmodule
