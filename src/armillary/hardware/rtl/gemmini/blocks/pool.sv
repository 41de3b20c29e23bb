// Rows of sums become one: the first is kept, the others change it to the largest or to the total, lane by lane.
//
// A row waits here before it is taken, so that the sums do not wait for the memory that it comes from.
module pool #(
    parameter int DIM = 16
) (
    input  logic              clk,
    input  logic              bring,
    input  logic [DIM*32-1:0] in,
    input  logic              take,    // the row that was brought last
    input  logic              first,   // of its window
    input  logic              totals,
    output logic [DIM*32-1:0] sums
);
  logic [DIM*32-1:0] brought, next;
  always_comb begin
    next = brought;
    if (take && !first)
      for (int d = 0; d < DIM; d++)
      if (totals) next[d*32+:32] = brought[d*32+:32] + sums[d*32+:32];
      else if ($signed(sums[d*32+:32]) > $signed(brought[d*32+:32])) next[d*32+:32] = sums[d*32+:32];
  end
  always_ff @(posedge clk) begin
    if (bring) brought <= in;
    if (take) sums <= next;
  end
endmodule
