// The output-stationary array: a column of inputs and a row of weights in per cycle, a row of sums out 2 * DIM + 1
// cycles after it is asked for.
//
// Columns and rows are taken in step, wait a cycle, so that no multiplier waits for a memory, and are skewed inside.
// `in_begins` marks the first of a block and makes the results of the block before available from the next cycle on; they
// have to be asked for before another block begins. Requests wait another cycle at the edge, as long as an element needs
// for its product.
module systolic_array #(
    parameter int DIM  = 16,
    parameter int PSUM = 32
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                in_valid,
    input  logic                in_begins,
    input  logic [   DIM*8-1:0] in_column,
    input  logic [   DIM*8-1:0] weight_row,
    input  logic                request,
    input  logic                request_first,
    output logic                out_soon,  // a row of sums comes two cycles later
    output logic [DIM*PSUM-1:0] out_row
);
  localparam int LATENCY = 2 * DIM - 1;
  logic [LATENCY-1:0] on_the_way;
  assign out_soon = on_the_way[LATENCY-1];
  always_ff @(posedge clk) on_the_way <= reset ? '0 : {on_the_way[LATENCY-2:0], request};

  // Element (r, c) reads wires (r, c) and drives (r, c + 1) to the right and (r + 1, c) down.
  logic signed [7:0] across[DIM][DIM+1];
  logic begins[DIM][DIM+1];
  logic signed [7:0] down[DIM+1][DIM];
  logic requests[DIM+1][DIM];
  logic firsts[DIM+1][DIM];
  logic signed [PSUM-1:0] results[DIM+1][DIM];

  for (genvar r = 0; r < DIM; r++) begin : g_row
    delay #(.WIDTH(9), .CYCLES(r + 1)) skew (
        .clk, .in({in_valid && in_begins, in_valid ? in_column[r*8+:8] : 8'd0}), .out({begins[r][0], across[r][0]})
    );
    for (genvar c = 0; c < DIM; c++) begin : g_column
      pe #(.PSUM(PSUM)) pe (
          .clk,
          .in(across[r][c]), .in_begins(begins[r][c]), .out(across[r][c+1]), .out_begins(begins[r][c+1]),
          .weight_in(down[r][c]), .weight_out(down[r+1][c]),
          .request_in(requests[r][c]), .request_first_in(firsts[r][c]),
          .request_out(requests[r+1][c]), .request_first_out(firsts[r+1][c]),
          .result_in(results[r][c]), .result_out(results[r+1][c])
      );
    end
  end
  for (genvar c = 0; c < DIM; c++) begin : g_edge
    delay #(.WIDTH(8), .CYCLES(c + 1)) skew (.clk, .in(weight_row[c*8+:8]), .out(down[0][c]));
    delay #(.WIDTH(2), .CYCLES(c + 2)) ask (.clk, .in({request, request_first}), .out({requests[0][c], firsts[0][c]}));
    assign results[0][c] = '0;
    delay #(.WIDTH(PSUM), .CYCLES(DIM - 1 - c)) deskew (.clk, .in(results[DIM][c]), .out(out_row[c*PSUM+:PSUM]));
  end
endmodule
