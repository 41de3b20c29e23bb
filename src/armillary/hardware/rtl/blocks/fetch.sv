// Fetches the words of commands from DRAM, some ahead of the decoder, in bursts that begin at multiples of their bytes.
module fetch #(
    parameter int BUS = 16  // bytes per beat, a power of two
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             stop,             // no more words are wanted
    input  logic [     31:0] start_address,    // of the first word, a multiple of CHUNK; taken in the reset
    output logic             request,
    input  logic             request_taken,
    output logic [     31:0] request_address,
    output logic [      7:0] request_length,  // beats, less one
    input  logic             beat,             // always taken
    input  logic [BUS*8-1:0] beat_data,
    output logic             word_valid,
    output logic [     63:0] word,
    input  logic             word_taken
);
  localparam int CHUNK = 256;                   // bytes per request
  localparam int ENTRY = BUS > 8 ? BUS : 8;     // bytes
  localparam int BEATS = ENTRY / BUS;           // of an entry
  localparam int PLACES = ENTRY / 8;            // words of an entry
  localparam int ENTRIES = 2 * CHUNK / ENTRY;
  localparam int PTR = $clog2(ENTRIES);
  localparam int PART = $clog2(BEATS) + 1;
  localparam int PLACE = $clog2(PLACES) + 1;
  logic [PTR:0] asked, filled, used;            // entries, modulo twice as many as there are
  logic [PART-1:0] part;
  logic [PLACE-1:0] place;
  logic [ENTRY*8-1:0] joined, out;
  logic whole, reads, there;

  assign request = !stop && asked - used <= (PTR + 1)'(ENTRIES - CHUNK / ENTRY);
  assign request_length = 8'(CHUNK / BUS - 1);
  if (BEATS == 1) begin : g_whole
    assign joined = beat_data;
  end else begin : g_parts
    logic [(ENTRY-BUS)*8-1:0] earlier;  // the beats that came last
    assign joined = {beat_data, earlier};
    always_ff @(posedge clk) if (beat) earlier <= joined[ENTRY*8-1:BUS*8];
  end
  assign whole = beat && part == PART'(BEATS - 1);
  sram_1r1w #(.WORDS(ENTRIES), .BITS(ENTRY * 8)) memory (
      .clk, .read(reads), .read_address(used[PTR-1:0]), .out, .write(whole), .write_address(filled[PTR-1:0]), .in(joined)
  );
  assign reads = used != filled && (!there || (word_taken && place == PLACE'(PLACES - 1)));
  assign word_valid = there;
  always_comb begin
    word = '0;
    for (int w = 0; w < PLACES; w++) if (place == PLACE'(w)) word = out[w*64+:64];
  end

  always_ff @(posedge clk) begin
    if (reset) begin
      asked  <= '0;
      filled <= '0;
      used   <= '0;
      part   <= '0;
      place  <= '0;
      there  <= 1'b0;
      request_address <= start_address;
    end else begin
      if (request && request_taken) begin
        asked <= asked + (PTR + 1)'(CHUNK / ENTRY);
        request_address <= request_address + 32'(CHUNK);
      end
      if (beat) part <= whole ? '0 : part + 1'b1;
      if (whole) filled <= filled + 1'b1;
      if (reads) used <= used + 1'b1;
      if (word_taken) place <= place == PLACE'(PLACES - 1) ? '0 : place + 1'b1;
      there <= reads || (there && !(word_taken && place == PLACE'(PLACES - 1)));
    end
  end
endmodule
