// The array as a C++ model behind the same ports: the same sums in the same cycles, computed at once and held back.
module systolic_array #(
    parameter int DIM  = 16,
    parameter int PSUM = 32
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                in_valid,
    input  logic                in_begins,
    input  logic [   DIM*8-1:0] in_row,
    input  logic                weight_valid,
    input  logic                weight_first,
    input  logic [   DIM*8-1:0] weight_row,
    output logic                out_valid,
    output logic [DIM*PSUM-1:0] out_row
);
  import "DPI-C" function void array_multiply(
      input bit begins, input bit [DIM*8-1:0] row, output bit [DIM*PSUM-1:0] sums);
  import "DPI-C" function void array_weights(input bit first, input bit [DIM*8-1:0] row);

  localparam int LATENCY = 2 * DIM - 1;
  localparam int PTR = $clog2(LATENCY);
  logic [LATENCY-1:0] on_the_way;
  logic [PTR-1:0] at;
  bit [DIM*PSUM-1:0] held[LATENCY];
  bit [DIM*PSUM-1:0] sums;
  assign out_valid = on_the_way[LATENCY-1];
  assign out_row = out_valid ? held[at] : '0;

  always_ff @(posedge clk) begin
    on_the_way <= reset ? '0 : {on_the_way[LATENCY-2:0], in_valid};
    at <= reset || at == PTR'(LATENCY - 1) ? '0 : at + 1'b1;
    // A row that begins a tile takes the weights that came before, so it goes before those of this cycle.
    if (in_valid) begin
      array_multiply(in_begins, in_row, sums);
      held[at] <= sums;
    end
    if (weight_valid) array_weights(weight_first, weight_row);
  end
endmodule
