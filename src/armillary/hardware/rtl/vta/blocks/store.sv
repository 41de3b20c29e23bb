// Takes a block of tiles from the buffer of outputs, where they lie one after another, to rows in DRAM.
module store #(
    parameter int BUS    = 8,
    parameter int BEATS  = 2,   // of a tile, a power of two
    parameter int ADDRESS = 11
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   start,
    input  logic [          127:0] command,  // stays until the next start
    output logic                   request,
    output logic                   request_last,
    output logic [           31:0] request_address,
    output logic [            7:0] request_length,
    input  logic                   request_taken,
    output logic                   read,
    output logic [    ADDRESS-1:0] read_address,
    input  logic [BEATS*BUS*8-1:0] tile,
    output logic                   beat,
    output logic [      BUS*8-1:0] beat_data,
    input  logic                   beat_taken,
    output logic                   finish
);
  localparam int PART = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;
  localparam int SHIFT = 4;
  logic [PART-1:0] part;
  logic ends_tile, ends_row, more, running;
  logic [ADDRESS-1:0] next_address;
  requests #(.BUS(BUS), .SHIFT(SHIFT)) requests (
      .clk, .reset, .start, .first(command[63:32]), .rows(command[75:64]), .columns(command[87:76]),
      .stride(command[103:88]), .tile_shift(SHIFT'($clog2(BEATS))), .request, .request_last, .request_address,
      .request_length, .request_taken
  );
  walk #(.PART(PART)) walk (
      .clk, .reset, .start, .rows(command[75:64]), .columns(command[87:76]), .last_part(PART'(BEATS - 1)),
      .beat(beat_taken), .part, .ends_tile, .ends_row, .more
  );
  assign read = start || (beat_taken && ends_tile);
  assign read_address = start ? command[10+:ADDRESS] : next_address;
  always_ff @(posedge clk) if (read) next_address <= read_address + 1'b1;
  assign beat = more;
  if (BEATS == 1) begin : g_whole
    assign beat_data = tile;
  end else begin : g_parts
    assign beat_data = tile[part*BUS*8+:BUS*8];
  end
  assign finish = running && !more;
  always_ff @(posedge clk) running <= !reset && (start || (running && !finish));
  wire unused = &{1'b0, ends_row, part, command[31:10], command[9:0], command[127:104]};
endmodule
