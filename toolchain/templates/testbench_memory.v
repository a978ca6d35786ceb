  // The external memory: $weights, or +weights=FILE, from address 0. Latency and stalls come from a shift register; with +latency=N
  // there are no stalls, and a burst's first beat comes N clocks after its request, or when those before it are done. A burst
  // against the rules of AXI4 (size, kind, 4 KiB, outside of the memory) is told once, and from then on nothing is answered.
  // +slverr=N: the N-th beat of all, from 0, comes with rresp SLVERR, as of a memory that fails once. +silent=N with +silence=CLOCKS:
  // for so many clocks it gives no N-th beat and takes no address, then it goes on where it was.
  localparam BYTES = $bytes;
  localparam WIDTH = $width;
  wire m_axi_arvalid;
  wire [31:0] m_axi_araddr;
  wire [7:0] m_axi_arlen;
  wire [2:0] m_axi_arsize;
  wire [1:0] m_axi_arburst;
  wire m_axi_rready;
  reg m_axi_rvalid = 0;
  reg [$data_msb:0] m_axi_rdata = 0;
  reg m_axi_rlast = 0;
  reg [1:0] m_axi_rresp = 0;
  reg [7:0] memory [0:BYTES-1];
  reg [8*1024-1:0] weights;
  integer binary = 0;
  integer got = 0;
  integer given = 0;
  integer slverr = -1;
  integer silent = -1;
  integer silence = 0;
  integer fixed = -1;
  initial begin
    if (!$$value$$plusargs("weights=%s", weights)) weights = "$weights";
    if (!$$value$$plusargs("slverr=%d", slverr)) slverr = -1;
    if (!$$value$$plusargs("silent=%d", silent)) silent = -1;
    if (!$$value$$plusargs("silence=%d", silence)) silence = 0;
    if (!$$value$$plusargs("latency=%d", fixed)) fixed = -1;
    binary = $$fopen(weights, "rb");
    if (binary != 0) got = $$fread(memory, binary);
    if (got != BYTES) $$display("error: %0d of %0d bytes of weights", got, BYTES);
  end

  reg [31:0] random = 32'h2545f491;
  reg open = 0;
  reg broken = 0;
  reg [31:0] waiting_address [0:7];
  reg [8:0] waiting_beats [0:7];
  reg [31:0] waiting_clock [0:7];
  reg [31:0] now = 0;
  reg [3:0] requested = 0;
  reg [3:0] begun = 0;
  reg [5:0] latency = 0;
  reg [31:0] address = 0;
  reg [8:0] beats = 0;
  wire [3:0] queued = requested - begun;
  wire mute = given == silent && silence != 0;
  wire m_axi_arready = open && !broken && !mute && queued != 8;
  wire [31:0] end_address = m_axi_araddr + (m_axi_arlen + 1) * WIDTH;
  wire [31:0] last_byte = end_address - 1;
  wire [31:0] waited = now - waiting_clock[begun[2:0]];
  wire due = fixed < 0 || !waited[31];
  wire giving = (!m_axi_rvalid || m_axi_rready) && !mute && beats != 0 && latency == 0 && (fixed >= 0 || random[12:11] != 0);
  wire free = beats == 0 || (fixed >= 0 && beats == 1 && giving);
  integer place;
  always @(posedge clk) begin
    random <= {1'b0, random[31:1]} ^ (random[0] ? 32'hedb88320 : 32'h0);
    open <= random[3:0] != 0 || fixed >= 0;
    now <= now + 1;
    if (mute) silence <= silence - 1;
    if (m_axi_arvalid && m_axi_arready) begin
      if (m_axi_arsize != $size || m_axi_arburst != 1 || m_axi_araddr[31:12] != last_byte[31:12] || end_address > BYTES) begin
        $$display("error: burst of %0d beats at %h", m_axi_arlen + 1, m_axi_araddr);
        broken <= 1;
      end
      waiting_address[requested[2:0]] <= m_axi_araddr;
      waiting_beats[requested[2:0]] <= m_axi_arlen + 1;
      waiting_clock[requested[2:0]] <= now + fixed - 2;
      requested <= requested + 1;
    end
    if (latency != 0) latency <= latency - 1;
    if (!m_axi_rvalid || m_axi_rready) begin
      m_axi_rvalid <= 0;
      if (giving) begin
        m_axi_rvalid <= 1;
        m_axi_rlast <= beats == 1;
        m_axi_rresp <= given == slverr ? 2 : 0;
        given <= given + 1;
        for (place = 0; place < WIDTH; place = place + 1) m_axi_rdata[8*place +: 8] <= memory[address + place];
        address <= address + WIDTH;
        beats <= beats - 1;
      end
    end
    if (free && queued != 0 && latency == 0 && due) begin
      address <= waiting_address[begun[2:0]];
      beats <= waiting_beats[begun[2:0]];
      latency <= fixed < 0 ? random[9:4] & 6'h1f : 0;
      begun <= begun + 1;
    end
    if (rst) begin
      requested <= 0;
      begun <= 0;
      beats <= 0;
      m_axi_rvalid <= 0;
    end
  end

