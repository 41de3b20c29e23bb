// The weight-stationary array: one row of inputs in, one row of partial sums out 2 * DIM + 1 cycles later.
//
// Rows are taken in step and skewed inside, inputs a cycle later than weights, so that no multiplier waits for a memory.
// `in_begins` marks the first row that uses the weights given last; the next weights may come from the next cycle on.
module systolic_array #(
    parameter int DIM  = 16,
    parameter int PSUM = 20
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                in_valid,
    input  logic                in_begins,
    input  logic [   DIM*8-1:0] in_row,
    input  logic                weight_valid,
    input  logic                weight_first,
    input  logic [   DIM*8-1:0] weight_row,
    output logic                out_soon,  // a row of sums comes two cycles later
    output logic [DIM*PSUM-1:0] out_row
);
  localparam int LATENCY = 2 * DIM - 1;
  logic [LATENCY-1:0] on_the_way;
  assign out_soon = on_the_way[LATENCY-1];
  always_ff @(posedge clk) on_the_way <= reset ? '0 : {on_the_way[LATENCY-2:0], in_valid};

  // Element (r, c) reads wires (r, c) and drives (r, c + 1) to the right and (r + 1, c) down.
  logic signed [7:0] across[DIM][DIM+1];
  logic begins[DIM][DIM+1];
  logic signed [7:0] down[DIM+1][DIM];
  logic down_valid[DIM+1][DIM];
  logic down_first[DIM+1][DIM];
  logic signed [PSUM-1:0] sums[DIM+1][DIM];

  for (genvar r = 0; r < DIM; r++) begin : g_row
    delay #(.WIDTH(9), .CYCLES(r + 1)) skew (
        .clk, .in({in_valid && in_begins, in_valid ? in_row[r*8+:8] : 8'd0}), .out({begins[r][0], across[r][0]})
    );
    for (genvar c = 0; c < DIM; c++) begin : g_column
      pe #(.PSUM(PSUM)) pe (
          .clk,
          .in(across[r][c]), .in_begins(begins[r][c]), .out(across[r][c+1]), .out_begins(begins[r][c+1]),
          .weight_in(down[r][c]), .weight_valid_in(down_valid[r][c]), .weight_first_in(down_first[r][c]),
          .weight_out(down[r+1][c]), .weight_valid_out(down_valid[r+1][c]), .weight_first_out(down_first[r+1][c]),
          .sum_in(sums[r][c]), .sum_out(sums[r+1][c])
      );
    end
  end
  for (genvar c = 0; c < DIM; c++) begin : g_edge
    delay #(.WIDTH(10), .CYCLES(c)) skew (
        .clk, .in({weight_valid, weight_first, weight_row[c*8+:8]}), .out({down_valid[0][c], down_first[0][c], down[0][c]})
    );
    assign sums[0][c] = '0;
    delay #(.WIDTH(PSUM), .CYCLES(DIM - 1 - c)) deskew (.clk, .in(sums[DIM][c]), .out(out_row[c*PSUM+:PSUM]));
  end
endmodule
