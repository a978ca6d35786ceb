// $core for block designs: active-low reset and tkeep, as AXI DMA has them; Vivado finds both interfaces by name and attribute.
// s_axis_tkeep is not looked at: a transfer must be a multiple of four bytes. m_axis_tkeep is always 4'hF.
module $axis (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axis:m_axis$associated, ASSOCIATED_RESET aresetn" *)
    input  wire        aclk,
    (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST" *)
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input  wire        aresetn,
    input  wire [31:0] s_axis_tdata,
    input  wire [3:0]  s_axis_tkeep,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    output wire [31:0] m_axis_tdata,
    output wire [3:0]  m_axis_tkeep,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast$memory
);
  reg rst;
  initial rst = 1'b1;
  wire ready;
  always @(posedge aclk) rst <= ~aresetn;
  // AXI lets a stream be ready in reset; a word taken then would be lost
  assign s_axis_tready = ready & ~rst;
  assign m_axis_tkeep = 4'hF;
  $core core (
      .clk(aclk),
      .rst(rst),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid & ~rst),
      .s_axis_tready(ready),
      .s_axis_tlast(s_axis_tlast),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready),
      .m_axis_tlast(m_axis_tlast),
$unused
  );
endmodule
