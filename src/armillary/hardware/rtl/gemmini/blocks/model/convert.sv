// The conversion as a C++ model behind the same ports: the same bytes in the same cycles, computed as a row leaves.
module convert #(
    parameter int DIM = 16,
    parameter int TAG = 33
) (
    input  logic                  clk,
    input  logic                  reset,
    input  logic                  advance,
    input  logic                  valid_in,
    input  logic [       TAG-1:0] tag_in,
    input  logic [    DIM*32-1:0] sums,
    input  logic                  floating,
    input  logic [          31:0] scale,
    input  logic [           5:0] shift,
    input  logic signed [    7:0] low,
    input  logic signed [    7:0] high,
    output logic                  valid_out,
    output logic [       TAG-1:0] tag_out,
    output logic [     DIM*8-1:0] bytes,
    output logic                  busy
);
  import "DPI-C" function void convert_take(input bit [DIM*32-1:0] sums);
  import "DPI-C" function void convert_give(
      input bit floating, input bit [31:0] scale, input byte shift, input byte low, input byte high,
      output bit [DIM*8-1:0] bytes);

  localparam int LATENCY = 9;
  logic [LATENCY-1:0] valid;
  logic [TAG-1:0] tags[16];  // of the rows that are on their way
  logic [3:0] tail, head;
  bit [DIM*8-1:0] next;
  assign valid_out = valid[LATENCY-1];
  assign busy = valid != 0;

  always_ff @(posedge clk)
    if (reset) begin
      valid <= '0;
      tail  <= '0;
      head  <= '0;
    end else if (advance) begin
      valid <= {valid[LATENCY-2:0], valid_in};
      if (valid_in) begin
        convert_take(sums);
        tags[tail] <= tag_in;
        tail <= tail + 1'b1;
      end
      // The settings are those of every row in here.
      if (valid[LATENCY-2]) begin
        convert_give(floating, scale, {2'd0, shift}, low, high, next);
        bytes <= next;
        tag_out <= tags[head];
        head <= head + 1'b1;
      end
    end
endmodule
