// Nested loops, level 0 innermost: where they stand, and which level goes on with the next step.
//
// After the last step they stand at the first again.
module nest #(
    parameter int LEVELS = 3,
    parameter int COUNT  = 16
) (
    input  logic                    clk,
    input  logic                    reset,
    input  logic                    step,
    input  logic [LEVELS*COUNT-1:0] lasts,    // of each level the index of its last pass
    output logic [      LEVELS-1:0] firsts,   // the level is in its first pass
    output logic [      LEVELS-1:0] at_last,  // it is in its last
    output logic [      LEVELS-1:0] ends,     // the level and all within it are in their last
    output logic [      LEVELS-1:0] advances  // the one level that goes on; none after the last step
);
  for (genvar l = 0; l < LEVELS; l++) begin : g_level
    logic [COUNT-1:0] index;
    logic turn;  // all levels within this one are in their last pass
    if (l == 0) begin : g_innermost
      assign turn = 1'b1;
    end else begin : g_outer
      assign turn = ends[l-1];
    end
    assign at_last[l] = index == lasts[l*COUNT+:COUNT];
    assign firsts[l] = index == '0;
    assign ends[l] = turn && at_last[l];
    assign advances[l] = turn && !at_last[l];
    always_ff @(posedge clk)
      if (reset) index <= '0;
      else if (step && turn) index <= at_last[l] ? '0 : index + 1'b1;
  end
endmodule
