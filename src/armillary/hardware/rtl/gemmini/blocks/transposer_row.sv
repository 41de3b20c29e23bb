// A pixel's place in the transposer: the channels of one step, and those of the next, of which it gives one.
//
// Which channel reaches every bit here, so each place has a copy of that of its own.
module transposer_row #(
    parameter int DIM = 16
) (
    input  logic                   clk,
    input  logic                   write,
    input  logic                   write_half,
    input  logic [      DIM*8-1:0] in,
    input  logic                   choose,   // what `out` is from the next cycle on
    input  logic                   half,
    input  logic [$clog2(DIM)-1:0] channel,
    input  logic                   show,
    output logic [            7:0] out       // 0 unless `show`
);
  localparam int COUNT = $clog2(DIM);
  logic [DIM*8-1:0] halves[2];
  logic own_half;
  logic [COUNT-1:0] own_channel;
  always_comb begin
    out = '0;
    if (show) out = halves[own_half][own_channel*8+:8];
  end
  always_ff @(posedge clk) begin
    if (write) halves[write_half] <= in;
    if (choose) begin
      own_half <= half;
      own_channel <= channel;
    end
  end
endmodule
