// Spikeloom's models of ECP5 cells of which Yosys knows the ports only. Written from Lattice's ECP5 and ECP5-5G Memory
// Usage Guide (FPGA-TN-02204) and sysDSP Usage Guide (FPGA-TN-02205), for what Yosys makes of them: no output registers, chip
// selects at 0, multipliers without registers. Anything else ends the simulation with a message.

// Block RAM of 1,024 words of 18 bits, two ports of 1, 2, 4, 9 or 18 bits, or one to write and one to read of 36.
// What a port reads from a word that the other writes in the same clock is not defined; here it is the old word inverted, so
// that a design that needs it fails.
module DP16KD (
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18;
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000";
  parameter CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL";
  parameter WRITEMODE_B = "NORMAL";
  parameter CLKAMUX = "CLKA";
  parameter CLKBMUX = "CLKB";
  parameter GSR = "ENABLED";
  parameter INIT_DATA = "STATIC";
  parameter WID = 0;
  parameter [319:0] INITVAL_00 = 320'd0;
  parameter [319:0] INITVAL_01 = 320'd0;
  parameter [319:0] INITVAL_02 = 320'd0;
  parameter [319:0] INITVAL_03 = 320'd0;
  parameter [319:0] INITVAL_04 = 320'd0;
  parameter [319:0] INITVAL_05 = 320'd0;
  parameter [319:0] INITVAL_06 = 320'd0;
  parameter [319:0] INITVAL_07 = 320'd0;
  parameter [319:0] INITVAL_08 = 320'd0;
  parameter [319:0] INITVAL_09 = 320'd0;
  parameter [319:0] INITVAL_0A = 320'd0;
  parameter [319:0] INITVAL_0B = 320'd0;
  parameter [319:0] INITVAL_0C = 320'd0;
  parameter [319:0] INITVAL_0D = 320'd0;
  parameter [319:0] INITVAL_0E = 320'd0;
  parameter [319:0] INITVAL_0F = 320'd0;
  parameter [319:0] INITVAL_10 = 320'd0;
  parameter [319:0] INITVAL_11 = 320'd0;
  parameter [319:0] INITVAL_12 = 320'd0;
  parameter [319:0] INITVAL_13 = 320'd0;
  parameter [319:0] INITVAL_14 = 320'd0;
  parameter [319:0] INITVAL_15 = 320'd0;
  parameter [319:0] INITVAL_16 = 320'd0;
  parameter [319:0] INITVAL_17 = 320'd0;
  parameter [319:0] INITVAL_18 = 320'd0;
  parameter [319:0] INITVAL_19 = 320'd0;
  parameter [319:0] INITVAL_1A = 320'd0;
  parameter [319:0] INITVAL_1B = 320'd0;
  parameter [319:0] INITVAL_1C = 320'd0;
  parameter [319:0] INITVAL_1D = 320'd0;
  parameter [319:0] INITVAL_1E = 320'd0;
  parameter [319:0] INITVAL_1F = 320'd0;
  parameter [319:0] INITVAL_20 = 320'd0;
  parameter [319:0] INITVAL_21 = 320'd0;
  parameter [319:0] INITVAL_22 = 320'd0;
  parameter [319:0] INITVAL_23 = 320'd0;
  parameter [319:0] INITVAL_24 = 320'd0;
  parameter [319:0] INITVAL_25 = 320'd0;
  parameter [319:0] INITVAL_26 = 320'd0;
  parameter [319:0] INITVAL_27 = 320'd0;
  parameter [319:0] INITVAL_28 = 320'd0;
  parameter [319:0] INITVAL_29 = 320'd0;
  parameter [319:0] INITVAL_2A = 320'd0;
  parameter [319:0] INITVAL_2B = 320'd0;
  parameter [319:0] INITVAL_2C = 320'd0;
  parameter [319:0] INITVAL_2D = 320'd0;
  parameter [319:0] INITVAL_2E = 320'd0;
  parameter [319:0] INITVAL_2F = 320'd0;
  parameter [319:0] INITVAL_30 = 320'd0;
  parameter [319:0] INITVAL_31 = 320'd0;
  parameter [319:0] INITVAL_32 = 320'd0;
  parameter [319:0] INITVAL_33 = 320'd0;
  parameter [319:0] INITVAL_34 = 320'd0;
  parameter [319:0] INITVAL_35 = 320'd0;
  parameter [319:0] INITVAL_36 = 320'd0;
  parameter [319:0] INITVAL_37 = 320'd0;
  parameter [319:0] INITVAL_38 = 320'd0;
  parameter [319:0] INITVAL_39 = 320'd0;
  parameter [319:0] INITVAL_3A = 320'd0;
  parameter [319:0] INITVAL_3B = 320'd0;
  parameter [319:0] INITVAL_3C = 320'd0;
  parameter [319:0] INITVAL_3D = 320'd0;
  parameter [319:0] INITVAL_3E = 320'd0;
  parameter [319:0] INITVAL_3F = 320'd0;

  // 64 rows of 16 words, each word in 20 bits
  localparam [20479:0] INITIAL = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
  };

  reg [17:0] memory[0:1023];
  integer word;
  initial begin
    for (word = 0; word < 1024; word = word + 1) memory[word] = INITIAL[word*20+:18];
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || CSDECODE_A != "0b000" || CSDECODE_B != "0b000") begin
      $display("DP16KD: output registers and chip selects have no model here");
      $finish;
    end
  end

  // place of the first bit of an address in a pair of words; an address counts bits, of which a ninth of each byte has none
  function [5:0] place(input integer width, input [13:0] address);
    case (width)
      36: place = 0;
      18: place = address[4] * 18;
      9: place = address[4:3] * 9;
      4: place = address[4:3] * 9 + address[2] * 4;
      2: place = address[4:3] * 9 + address[2:1] * 2;
      default: place = address[4:3] * 9 + address[2:0];
    endcase
  endfunction
  // bits of a pair of words that are written: of 36 and 18 only the bytes that the lowest address bits enable
  function [35:0] mask(input integer width, input [13:0] address);
    case (width)
      36: mask = {{9{address[3]}}, {9{address[2]}}, {9{address[1]}}, {9{address[0]}}};
      18: mask = {{9{address[1]}}, {9{address[0]}}} << place(width, address);
      default: mask = ((36'd1 << width) - 36'd1) << place(width, address);
    endcase
  endfunction

  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [17:0] data_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [17:0] data_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
  wire clock_a = (CLKAMUX == "INV") ? ~CLKA : CLKA;
  wire clock_b = (CLKBMUX == "INV") ? ~CLKB : CLKB;
  wire enable_a = CEA & ~(CSA0 | CSA1 | CSA2);
  wire enable_b = CEB & ~(CSB0 | CSB1 | CSB2);
  wire write_a = enable_a & WEA;
  wire write_b = enable_b & WEB;
  wire [35:0] mask_a = mask(DATA_WIDTH_A, address_a);
  wire [35:0] mask_b = mask(DATA_WIDTH_B, address_b);
  wire [35:0] new_a = {data_b, data_a} << ((DATA_WIDTH_A == 36) ? 6'd0 : place(DATA_WIDTH_A, address_a));
  wire [35:0] new_b = {18'd0, data_b} << place(DATA_WIDTH_B, address_b);
  wire [35:0] old_a = {memory[{address_a[13:5], 1'b1}], memory[{address_a[13:5], 1'b0}]};
  wire [35:0] old_b = {memory[{address_b[13:5], 1'b1}], memory[{address_b[13:5], 1'b0}]};
  wire [35:0] merged_a = old_a & ~mask_a | new_a & mask_a;
  wire [35:0] merged_b = old_b & ~mask_b | new_b & mask_b;
  wire same = address_a[13:5] == address_b[13:5];
  wire [35:0] clash_a = (same & write_b) ? mask_b : 36'd0;
  wire [35:0] clash_b = (same & write_a) ? mask_a : 36'd0;

  always @(posedge clock_a)
    if (write_a) begin
      memory[{address_a[13:5], 1'b0}] <= merged_a[17:0];
      memory[{address_a[13:5], 1'b1}] <= merged_a[35:18];
    end
  always @(posedge clock_b)
    if (write_b) begin
      memory[{address_b[13:5], 1'b0}] <= merged_b[17:0];
      memory[{address_b[13:5], 1'b1}] <= merged_b[35:18];
    end

  reg [35:0] out_a, out_b;
  initial begin
    out_a = 0;
    out_b = 0;
  end
  wire [35:0] next_a = ((write_a && WRITEMODE_A == "WRITETHROUGH") ? merged_a : (old_a ^ clash_a)) >> place(DATA_WIDTH_A, address_a);
  wire [35:0] next_b = ((write_b && WRITEMODE_B == "WRITETHROUGH") ? merged_b : (old_b ^ clash_b)) >> place(DATA_WIDTH_B, address_b);
  wire load_a = enable_a & ~(WEA && WRITEMODE_A == "NORMAL");
  wire load_b = enable_b & ~(WEB && WRITEMODE_B == "NORMAL");
  generate
    if (RESETMODE == "SYNC") begin : sync
      always @(posedge clock_a)
        if (RSTA) out_a <= 0;
        else if (load_a) out_a <= next_a;
      always @(posedge clock_b)
        if (RSTB) out_b <= 0;
        else if (load_b) out_b <= next_b;
    end else begin : async
      always @(posedge clock_a or posedge RSTA)
        if (RSTA) out_a <= 0;
        else if (load_a) out_a <= next_a;
      always @(posedge clock_b or posedge RSTB)
        if (RSTB) out_b <= 0;
        else if (load_b) out_b <= next_b;
    end
  endgenerate
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = (DATA_WIDTH_B == 36) ? out_b[17:0] : out_a[17:0];
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = (DATA_WIDTH_B == 36) ? out_b[35:18] : out_b[17:0];
endmodule

// Multiplier of 18 by 18 bits, without registers; each operand with or without a sign.
module MULT18X18D (
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  wire signed [35:0] product = $signed({{18{SIGNEDA & a[17]}}, a}) * $signed({{18{SIGNEDB & b[17]}}, b});
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product;
endmodule
