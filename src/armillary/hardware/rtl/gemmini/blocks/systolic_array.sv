// The array, of elements that hold weights, or sums, or either.
//
// Elements that hold weights: one row of inputs in, one row of partial sums out 2 * DIM + 1 cycles later. `in_begins` marks the
// first row that uses the weights given last; the next weights may come from that cycle on.
// Elements that hold sums: a column of inputs and a row of weights in per cycle, a row of sums out 2 * DIM + 1 cycles after
// it is asked for. `in_begins` marks the first of a block and makes the results of the block before available from the next
// cycle on; they have to be asked for before another block begins.
//
// Rows and columns are taken in step, wait a cycle, so that no multiplier waits for a memory, and are skewed inside. `holds_sums` says which of both elements of either kind do. It may
// change while nothing is on its way, and goes down a row per cycle, no later than what uses it.
module systolic_array #(
    parameter int DIM      = 16,
    parameter int DATAFLOW = 1,  // 1 holds weights, 2 sums, 3 what `holds_sums` says
    parameter int PSUM     = 32
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                holds_sums,
    input  logic                in_valid,
    input  logic                in_begins,
    input  logic [   DIM*8-1:0] in_row,
    input  logic                weight_valid,
    input  logic                weight_first,
    input  logic [   DIM*8-1:0] weight_row,
    input  logic                request,
    input  logic                request_first,
    output logic                out_soon,  // a row of sums comes two cycles later
    output logic [DIM*PSUM-1:0] out_row
);
  localparam int LATENCY = 2 * DIM - 1;
  logic sums;
  assign sums = DATAFLOW == 2 || (DATAFLOW == 3 && holds_sums);
  logic [LATENCY-1:0] on_the_way;
  assign out_soon = on_the_way[LATENCY-1];
  always_ff @(posedge clk) on_the_way <= reset ? '0 : {on_the_way[LATENCY-2:0], sums ? request : in_valid};

  // Requests wait another cycle at the edge, as long as an element needs for its product; weights do not.
  logic asked, asked_first, valid, first;
  always_ff @(posedge clk) begin
    asked <= request;
    asked_first <= request_first;
  end
  assign valid = sums ? asked : weight_valid;
  assign first = sums ? asked_first : weight_first;

  // Element (r, c) reads wires (r, c) and drives (r, c + 1) to the right and (r + 1, c) down.
  logic [DIM-1:0] holds;
  logic signed [7:0] across[DIM][DIM+1];
  logic begins[DIM][DIM+1];
  logic signed [7:0] down[DIM+1][DIM];
  logic valids[DIM+1][DIM];
  logic firsts[DIM+1][DIM];
  logic signed [PSUM-1:0] passed[DIM+1][DIM];

  always_ff @(posedge clk) holds <= {holds[DIM-2:0], holds_sums};
  for (genvar r = 0; r < DIM; r++) begin : g_row
    delay #(.WIDTH(9), .CYCLES(r + 1)) skew (
        .clk, .in({in_valid && in_begins, in_valid ? in_row[r*8+:8] : 8'd0}), .out({begins[r][0], across[r][0]})
    );
    for (genvar c = 0; c < DIM; c++) begin : g_column
      pe #(.DATAFLOW(DATAFLOW), .PSUM(PSUM)) pe (
          .clk, .holds_sums(holds[r]),
          .in(across[r][c]), .in_begins(begins[r][c]), .out(across[r][c+1]), .out_begins(begins[r][c+1]),
          .weight_in(down[r][c]), .weight_out(down[r+1][c]),
          .mark_valid_in(valids[r][c]), .mark_first_in(firsts[r][c]),
          .mark_valid_out(valids[r+1][c]), .mark_first_out(firsts[r+1][c]),
          .sum_in(passed[r][c]), .sum_out(passed[r+1][c])
      );
    end
  end
  for (genvar c = 0; c < DIM; c++) begin : g_edge
    delay #(.WIDTH(8), .CYCLES(c + 1)) skew (.clk, .in(weight_row[c*8+:8]), .out(down[0][c]));
    delay #(.WIDTH(2), .CYCLES(c + 1)) mark (.clk, .in({valid, first}), .out({valids[0][c], firsts[0][c]}));
    assign passed[0][c] = '0;
    delay #(.WIDTH(PSUM), .CYCLES(DIM - 1 - c)) deskew (.clk, .in(passed[DIM][c]), .out(out_row[c*PSUM+:PSUM]));
  end
endmodule
