// The array as a C++ model behind the same ports: the same sums in the same cycles, computed at once and held back.
module systolic_array #(
    parameter int DIM      = 16,
    parameter int DATAFLOW = 1,
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
  import "DPI-C" function void array_multiply(input bit begins, input bit [DIM*8-1:0] row);
  import "DPI-C" function void array_weights(input bit first, input bit [DIM*8-1:0] row);
  import "DPI-C" function void array_outer(
      input bit begins, input bit [DIM*8-1:0] column, input bit [DIM*8-1:0] weights);
  import "DPI-C" function void array_result(input bit first);
  import "DPI-C" function void array_sums(output bit [DIM*PSUM-1:0] row);

  localparam int LATENCY = 2 * DIM - 1;
  logic sums;
  assign sums = DATAFLOW == 2 || (DATAFLOW == 3 && holds_sums);
  logic [LATENCY-1:0] on_the_way;
  logic next_cycle;
  bit [DIM*PSUM-1:0] next, leaving;
  assign out_soon = on_the_way[LATENCY-1];
  assign out_row = leaving;

  always_ff @(posedge clk) begin
    next_cycle <= out_soon && !reset;
    on_the_way <= reset ? '0 : {on_the_way[LATENCY-2:0], sums ? request : in_valid};
    // The model keeps count of rows, so nothing that comes before the reset may reach it.
    if (!reset) begin
      if (sums) begin
        // The last result may still be asked for in the cycle in which another block begins, so requests go first.
        if (request) array_result(request_first);
        if (in_valid) array_outer(in_begins, in_row, weight_row);
      end else begin
        // A row that begins a tile takes the weights that came before, so it goes before those of this cycle.
        if (in_valid) array_multiply(in_begins, in_row);
        if (weight_valid) array_weights(weight_first, weight_row);
      end
      if (next_cycle) begin
        array_sums(next);
        leaving <= next;
      end
    end
  end
endmodule
