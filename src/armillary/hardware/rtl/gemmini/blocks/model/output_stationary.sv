// The output-stationary array as a C++ model behind the same ports: the same sums in the same cycles.
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
  import "DPI-C" function void array_outer(
      input bit begins, input bit [DIM*8-1:0] column, input bit [DIM*8-1:0] weights);
  import "DPI-C" function void array_result(input bit first);
  import "DPI-C" function void array_sums(output bit [DIM*PSUM-1:0] sums);

  localparam int LATENCY = 2 * DIM - 1;
  logic [LATENCY-1:0] on_the_way;
  logic next_cycle;
  bit [DIM*PSUM-1:0] next, sums;
  assign out_soon = on_the_way[LATENCY-1];
  assign out_row = sums;

  always_ff @(posedge clk) begin
    next_cycle <= out_soon && !reset;
    on_the_way <= reset ? '0 : {on_the_way[LATENCY-2:0], request};
    // The model keeps count of rows, so nothing that comes before the reset may reach it.
    if (!reset) begin
      // The last result may still be asked for in the cycle in which another block begins, so requests go first.
      if (request) array_result(request_first);
      if (in_valid) array_outer(in_begins, in_column, weight_row);
      if (next_cycle) begin
        array_sums(next);
        sums <= next;
      end
    end
  end
endmodule
