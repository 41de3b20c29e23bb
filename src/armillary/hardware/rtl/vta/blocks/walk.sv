// Counts the beats of a block of rows of tiles, as they go by.
module walk #(
    parameter int PART = 3  // bits of a beat's number within its tile
) (
    input  logic            clk,
    input  logic            reset,
    input  logic            start,
    input  logic [    11:0] rows,
    input  logic [    11:0] columns,    // tiles of a row; both stay until the next start
    input  logic [PART-1:0] last_part,  // of a tile; stays too
    input  logic            beat,
    output logic [PART-1:0] part,       // of the next beat
    output logic            ends_tile,
    output logic            ends_row,
    output logic            more        // some beats are still to come
);
  logic [11:0] rows_left, columns_left;
  assign ends_tile = part == last_part;
  assign ends_row = ends_tile && columns_left == 12'd1;
  assign more = rows_left != 0;
  always_ff @(posedge clk)
    if (reset || start) begin
      rows_left <= reset || columns == 0 ? '0 : rows;
      columns_left <= columns;
      part <= '0;
    end else if (beat) begin
      part <= ends_tile ? '0 : part + 1'b1;
      if (ends_tile) columns_left <= ends_row ? columns : columns_left - 1'b1;
      if (ends_row) rows_left <= rows_left - 1'b1;
    end
endmodule
