// From a dot product to a prediction: the score, and a cycle later what the algorithm makes of it. The sum began with half of
// the score's last bit, so that the score is rounded.
//
// Linear regression and recommender: the score itself. Logistic regression: its logistic function. Support vector
// machine: +1 for a score that is not negative, else -1.
module predict #(
    parameter int ALGORITHM       = 0,  // 0 linear, 1 logistic, 2 support vector machine, 3 recommender
    parameter int SUM             = 32,
    parameter int VECTOR_FRACTION = 6,  // bits after the point of the sum beyond those of the score
    parameter int INTERNAL        = 16,
    parameter int FRACTION        = 8
) (
    input  logic                       clk,
    input  logic                       reset,
    input  logic                       in_valid,
    input  logic signed [     SUM-1:0] sum,
    output logic                       out_valid,
    output logic signed [INTERNAL-1:0] score,
    output logic signed [INTERNAL-1:0] value
);
  localparam logic signed [INTERNAL-1:0] ONE = INTERNAL'(1) << FRACTION;
  logic signed [INTERNAL-1:0] fitting, held, chosen;
  logic valid;

  saturate #(.IN(SUM), .OUT(INTERNAL), .DROP(VECTOR_FRACTION)) saturate (.in(sum), .out(fitting));
  if (ALGORITHM == 1) begin : g_logistic
    sigmoid #(.INTERNAL(INTERNAL), .FRACTION(FRACTION)) sigmoid (.in(held), .out(chosen));
  end else if (ALGORITHM == 2) begin : g_machine
    assign chosen = held[INTERNAL-1] ? -ONE : ONE;
  end else begin : g_score
    assign chosen = held;
  end

  always_ff @(posedge clk) begin
    valid <= !reset && in_valid;
    if (in_valid) held <= fitting;
    out_valid <= !reset && valid;
    if (valid) begin
      score <= held;
      value <= chosen;
    end
  end
endmodule
