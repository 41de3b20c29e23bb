// Rows of sums become one: the first is kept, the others change it to the largest or to the total, lane by lane.
module pool #(
    parameter int DIM = 16
) (
    input  logic              clk,
    input  logic              take,
    input  logic              first,   // of its window
    input  logic              totals,
    input  logic [DIM*32-1:0] in,
    output logic [DIM*32-1:0] sums
);
  logic [DIM*32-1:0] next;
  always_comb begin
    next = in;
    if (take && !first)
      for (int d = 0; d < DIM; d++)
      if (totals) next[d*32+:32] = in[d*32+:32] + sums[d*32+:32];
      else if ($signed(sums[d*32+:32]) > $signed(in[d*32+:32])) next[d*32+:32] = sums[d*32+:32];
  end
  always_ff @(posedge clk) if (take) sums <= next;
endmodule
