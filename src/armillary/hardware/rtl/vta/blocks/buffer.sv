// A buffer of tiles: a memory for each beat of a tile, so that beats need not be put together before they are written.
module buffer #(
    parameter int TILES = 512,
    parameter int BEATS = 2,  // of a tile
    parameter int BITS  = 64  // of a beat
) (
    input  logic                     clk,
    input  logic                     read,
    input  logic [$clog2(TILES)-1:0] read_address,
    output logic [   BEATS*BITS-1:0] out,
    input  logic [        BEATS-1:0] write,
    input  logic [$clog2(TILES)-1:0] write_address,
    input  logic [   BEATS*BITS-1:0] in
);
  for (genvar b = 0; b < BEATS; b++) begin : g_beat
    sram_1r1w #(.WORDS(TILES), .BITS(BITS)) memory (
        .clk, .read, .read_address, .out(out[b*BITS+:BITS]), .write(write[b]), .write_address, .in(in[b*BITS+:BITS])
    );
  end
endmodule
