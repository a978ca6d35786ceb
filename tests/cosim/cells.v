// The cells around a board's pins and clock, as far as the top levels use them. A PLL here passes its clock on and locks after 100 of
// them: the simulation clocks the board at what the PLL would make.
`timescale 1ns / 1ps
module SB_IO (inout wire PACKAGE_PIN, input wire D_OUT_0, input wire OUTPUT_ENABLE, output wire D_IN_0);
  parameter [5:0] PIN_TYPE = 0;
  parameter IO_STANDARD = "SB_LVCMOS";
  parameter [0:0] PULLUP = 0;
  // PIN_TYPE[5:2]: 1010 drives when enabled, 0000 never
  generate
    if (PIN_TYPE[5:2] == 4'b1010) assign PACKAGE_PIN = OUTPUT_ENABLE ? D_OUT_0 : 1'bz;
  endgenerate
  assign D_IN_0 = PACKAGE_PIN;
endmodule
module SB_GB_IO (inout wire PACKAGE_PIN, output wire GLOBAL_BUFFER_OUTPUT);
  parameter [5:0] PIN_TYPE = 0;
  parameter IO_STANDARD = "SB_LVCMOS";
  assign GLOBAL_BUFFER_OUTPUT = PACKAGE_PIN;
endmodule
module SB_PLL40_PAD (input wire PACKAGEPIN, input wire RESETB, input wire BYPASS, output wire PLLOUTGLOBAL, output reg LOCK);
  parameter FEEDBACK_PATH = "SIMPLE";
  parameter [3:0] DIVR = 0;
  parameter [6:0] DIVF = 0;
  parameter [2:0] DIVQ = 0;
  parameter [2:0] FILTER_RANGE = 0;
  reg [6:0] count = 0;
  initial LOCK = 0;
  assign PLLOUTGLOBAL = PACKAGEPIN;
  always @(posedge PACKAGEPIN) if (count == 100) LOCK <= 1; else count <= count + 1;
endmodule
module EHXPLLL (
    input wire CLKI, input wire CLKFB, input wire RST, input wire STDBY, input wire PHASESEL0, input wire PHASESEL1,
    input wire PHASEDIR, input wire PHASESTEP, input wire PHASELOADREG, input wire PLLWAKESYNC, input wire ENCLKOP,
    output wire CLKOP, output reg LOCK
);
  parameter PLLRST_ENA = "", INTFB_WAKE = "", STDBY_ENABLE = "", DPHASE_SOURCE = "", OUTDIVIDER_MUXA = "", OUTDIVIDER_MUXB = "",
      OUTDIVIDER_MUXC = "", OUTDIVIDER_MUXD = "", CLKOP_ENABLE = "", FEEDBK_PATH = "";
  parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOP_CPHASE = 0, CLKOP_FPHASE = 0;
  reg [6:0] count = 0;
  initial LOCK = 0;
  assign CLKOP = CLKI;
  always @(posedge CLKI) if (count == 100) LOCK <= 1; else count <= count + 1;
endmodule
module IB (input wire I, output wire O);
  assign O = I;
endmodule
module OBZ (input wire I, input wire T, output wire O);
  assign O = T ? 1'bz : I;
endmodule
module IBUF (input wire I, output wire O);
  assign O = I;
endmodule
module TBUF (input wire I, input wire OEN, output wire O);
  assign O = OEN ? 1'bz : I;
endmodule
