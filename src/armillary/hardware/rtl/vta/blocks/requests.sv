// Asks for the rows of a block in DRAM, in bursts of at most 256 beats.
module requests #(
    parameter int BUS   = 8,  // bytes per beat, a power of two
    parameter int SHIFT = 3   // bits of the logarithm of a tile's beats, which is at most 12
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             start,
    input  logic [     31:0] first,       // address
    input  logic [     11:0] rows,
    input  logic [     11:0] columns,     // tiles of a row
    input  logic [     15:0] stride,      // tiles from a row to the next; all stay until the next start
    input  logic [SHIFT-1:0] tile_shift,  // logarithm of a tile's beats; stays too
    output logic             request,
    output logic             request_last,
    output logic [     31:0] request_address,
    output logic [      7:0] request_length,  // beats, less one
    input  logic             request_taken
);
  logic [31:0] row_address, following;
  logic [23:0] beats_left, row_beats;
  logic [11:0] rows_left;
  logic ends_row;
  assign row_beats = 24'(columns) << tile_shift;
  assign following = (ends_row ? row_address : request_address) +
                     (ends_row ? (32'(stride) << $clog2(BUS)) << tile_shift : 32'd256 << $clog2(BUS));
  assign ends_row = beats_left <= 24'd256;
  assign request = rows_left != 0;
  assign request_last = ends_row && rows_left == 12'd1;
  assign request_length = ends_row ? beats_left[7:0] - 8'd1 : 8'd255;
  always_ff @(posedge clk)
    if (reset || start) begin
      rows_left <= reset || columns == 0 ? '0 : rows;
      row_address <= first;
      request_address <= first;
      beats_left <= row_beats;
    end else if (request_taken) begin
      request_address <= following;
      if (ends_row) begin
        rows_left <= rows_left - 1'b1;
        row_address <= following;
      end
      beats_left <= ends_row ? row_beats : beats_left - 24'd256;
    end
endmodule
