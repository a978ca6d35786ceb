// Template for plain Verilog: copy the instance into your design and connect its streams. $core is in $core.v, all in one file.
//
// clk, rst: one clock; rst is synchronous and active high. Streams are AXI4-Stream, 32-bit words, no tkeep: every word is whole.
// In goes a frame packet of $frame_words words: the header 32'h$frame_header, then
// $content; tlast with the last word.$loading Out comes a result packet of $result_words words: header, network id,
// $classes scores (signed), the class in word $prediction_at, four counters for each layer, cycles; tlast with the last word.
// A packet that is no frame gets two words, 32'hEE000001 and why. s_axis_tready is low while a frame runs. See ports.json.
module $instance (
    input  wire        clk,
    input  wire        rst,
    input  wire [31:0] s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    output wire [31:0] m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast$memory
);
  $core core (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .s_axis_tlast(s_axis_tlast),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready),
      .m_axis_tlast(m_axis_tlast),
      // for test benches only
$unused
  );
endmodule
