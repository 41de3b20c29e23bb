// Rows on their way into the scratchpad: as they are, or blocks of them transposed.
//
// A block is one row more than `block_less_one` says, at most DIM, which come one after another. Its last row is taken once all that it
// becomes are written: byte by byte of its rows, as many rows as `becomes` says, from `row` on. Bytes behind those of the
// block's rows are zero.
module transposer #(
    parameter int DIM   = 16,
    parameter int WIDTH = 18
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             transposes,
    input  logic [WIDTH-1:0] block_less_one,
    input  logic [WIDTH-1:0] becomes,
    input  logic             in_valid,
    input  logic [DIM*8-1:0] in,
    input  logic [WIDTH-1:0] row,
    output logic             taken,
    output logic             write,
    output logic [WIDTH-1:0] write_row,
    output logic [DIM*8-1:0] write_data
);
  localparam int COUNT = $clog2(DIM);
  logic [DIM*8-1:0] rows[DIM];
  logic [COUNT-1:0] place, along;
  logic leaves, last, last_out;

  assign last = WIDTH'(place) == block_less_one;
  assign last_out = WIDTH'(along) + 1'b1 == becomes;
  assign taken = !transposes || (leaves ? last_out : !last);
  assign write = transposes ? leaves : in_valid;
  assign write_row = transposes ? row + WIDTH'(along) : row;
  always_comb begin
    write_data = in;
    if (leaves) for (int r = 0; r < DIM; r++) write_data[r*8+:8] = WIDTH'(r) <= block_less_one ? rows[r][along*8+:8] : 8'd0;
  end

  always_ff @(posedge clk) begin
    if (in_valid && transposes && !leaves) rows[place] <= in;
    if (reset) begin
      leaves <= 1'b0;
      place  <= '0;
      along  <= '0;
    end else if (leaves) begin
      leaves <= !last_out;
      along  <= last_out ? '0 : along + 1'b1;
    end else if (in_valid && transposes) begin
      leaves <= last;
      place  <= last ? '0 : place + 1'b1;
    end
  end
endmodule
