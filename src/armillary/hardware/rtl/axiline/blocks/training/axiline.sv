// Training of a linear model: a step of stochastic gradient descent for every vector, which comes in CYCLES parts.
//
// A part is taken in every cycle in which `in_valid` and `in_ready` are high, the vector's label with its last part. Its
// prediction, by the weights as they were, shows four cycles later; from the cycle after that on the weights are
// updated, a part a cycle. `step_done` is high in the last of these cycles. A vector may come in as soon as its first part
// meets new weights. Elements beyond the model's dimension are zero, and so are their weights.
//
// A recommender's vector is an item's factors, its weights are the user's; the item's new factors leave at `items_out`
// while the user's are updated.
module axiline #(
    parameter int ALGORITHM       = 0,   // 0 linear, 1 logistic, 2 support vector machine, 3 recommender
    parameter int LANES           = 8,
    parameter int CYCLES          = 7,
    parameter int VECTOR          = 8,   // bits of an element, a number with a sign
    parameter int VECTOR_FRACTION = 6,   // of these after the point
    parameter int LABEL           = 8,
    parameter int LABEL_FRACTION  = 6,
    parameter int INTERNAL        = 16,  // bits of weights and predictions
    parameter int FRACTION        = 8,
    parameter int ADDRESS         = CYCLES > 1 ? $clog2(CYCLES) : 1
) (
    input  logic                       clk,
    input  logic                       reset,
    input  logic        [INTERNAL-1:0] rate,            // below 2: all bits but one are after the point
    input  logic                       hinge,           // a support vector machine's rule, see step
    input  logic                       weights_write,   // while no vector is on its way
    input  logic [        ADDRESS-1:0] weights_address,
    input  logic [ LANES*INTERNAL-1:0] weights_in,
    output logic [ LANES*INTERNAL-1:0] weights_out,     // at the address
    input  logic                       in_valid,
    output logic                       in_ready,
    input  logic [   LANES*VECTOR-1:0] in_vector,
    input  logic signed [   LABEL-1:0] in_label,
    output logic                       out_valid,
    output logic signed [INTERNAL-1:0] out,
    output logic                       items_valid,
    output logic [ LANES*INTERNAL-1:0] items_out,
    output logic                       step_done
);
  localparam int SUM = VECTOR + INTERNAL + $clog2(LANES * CYCLES);  // the bias and the half are less than a bit
  localparam logic [SUM-1:0] HALF = SUM'(1) << (VECTOR_FRACTION - 1);
  localparam logic [ADDRESS-1:0] LAST = ADDRESS'(CYCLES - 1);
  logic [LANES*INTERNAL-1:0] weights[CYCLES];
  logic [LANES*VECTOR-1:0] vectors[CYCLES];
  logic signed [INTERNAL-1:0] score, gradient, next_gradient;
  logic signed [LABEL-1:0] label;
  logic [ADDRESS-1:0] part, updated;
  logic taken, sum_valid, updates;
  logic signed [SUM-1:0] sum;
  logic [LANES*INTERNAL-1:0] stepped;

  assign taken = in_valid && in_ready;
  dot_product #(.LANES(LANES), .VECTOR(VECTOR), .INTERNAL(INTERNAL), .SUM(SUM)) dot (
      .clk, .reset, .in_valid(taken), .in_first(part == 0), .in_last(part == LAST), .in_vector,
      .weights(weights[part]), .start(HALF), .out_valid(sum_valid), .sum
  );
  predict #(
      .ALGORITHM(ALGORITHM), .SUM(SUM), .VECTOR_FRACTION(VECTOR_FRACTION), .INTERNAL(INTERNAL), .FRACTION(FRACTION)
  ) predict (.clk, .reset, .in_valid(sum_valid), .sum, .out_valid, .score, .value(out));
  step #(
      .ALGORITHM(ALGORITHM), .LABEL(LABEL), .LABEL_FRACTION(LABEL_FRACTION), .INTERNAL(INTERNAL), .FRACTION(FRACTION)
  ) step (.hinge, .label, .rate, .score, .value(out), .gradient(next_gradient));
  descend #(.LANES(LANES), .OTHER(VECTOR), .OTHER_FRACTION(VECTOR_FRACTION), .INTERNAL(INTERNAL)) descend (
      .gradient, .others(vectors[updated]), .in(weights[updated]), .out(stepped)
  );
  if (ALGORITHM == 3) begin : g_items
    descend #(.LANES(LANES), .OTHER(INTERNAL), .OTHER_FRACTION(FRACTION), .INTERNAL(INTERNAL)) descend (
        .gradient, .others(weights[updated]), .in(vectors[updated]), .out(items_out)
    );
    assign items_valid = updates;
  end else begin : g_no_items
    assign items_out   = '0;
    assign items_valid = 1'b0;
  end

  assign step_done   = updates && updated == LAST;
  assign weights_out = weights[weights_address];
  always_ff @(posedge clk) begin
    if (taken) begin
      vectors[part] <= in_vector;
      label <= in_label;
      part <= part == LAST ? '0 : part + 1;
      if (part == LAST) in_ready <= 1'b0;
    end
    if (out_valid) gradient <= next_gradient;
    if (out_valid) updates <= 1'b1;
    if (updates) begin
      in_ready <= 1'b1;
      updated  <= step_done ? '0 : updated + 1;
      updates  <= !step_done;
    end
    if (updates) weights[updated] <= stepped;
    else if (weights_write) weights[weights_address] <= weights_in;
    if (reset) begin
      part <= '0;
      updated <= '0;
      updates <= 1'b0;
      in_ready <= 1'b1;
    end
  end
endmodule
