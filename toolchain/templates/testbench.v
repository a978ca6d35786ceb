// Test bench around $core$kind: passes the packet streams through and writes every spike word to a file.
// +spikes=FILE: one line a spike word: packets $counted before, layer, step, neuron word, bits (hexadecimal).
// Verilog-2005, as the core: simulators run the core's blocks at time 0 only under that standard's rules.
`timescale 1ns / 1ps
`ifdef VERILATOR
`define PUBLIC /* verilator public_flat_rw */
`else
`define PUBLIC
`endif
module $testbench (
    input  wire        clk           `PUBLIC,
    input  wire        rst           `PUBLIC,
    input  wire [31:0] s_axis_tdata  `PUBLIC,
    input  wire        s_axis_tvalid `PUBLIC,
    output wire        s_axis_tready `PUBLIC,
    input  wire        s_axis_tlast  `PUBLIC,
    output wire [31:0] m_axis_tdata  `PUBLIC,
    output wire        m_axis_tvalid `PUBLIC,
    input  wire        m_axis_tready `PUBLIC,
    output wire        m_axis_tlast  `PUBLIC
);
$wires  $core core (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .s_axis_tlast(s_axis_tlast),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready),
$ports      .m_axis_tlast(m_axis_tlast)$last_ports
  );

$memory  integer file = 0;
  reg [8*1024-1:0] path;
  initial if ($$value$$plusargs("spikes=%s", path)) file = $$fopen(path, "w");

${watchers}endmodule
