// Inference of a decision tree of DEPTH levels: a vector of features comes in CYCLES parts, the value of its leaf leaves.
//
// A part is taken in every cycle in which `in_valid` is high; there may be pauses. A stage walks CYCLES levels of the tree, one a
// cycle, so that it is done with a vector when the next one is there. The leaf's value shows DEPTH + 2 cycles after the
// vector's last part. Every path has DEPTH nodes: a leaf higher up is all leaves below. Nodes are numbered as in a heap, see
// tree_stage, and are written one by one while no vector is on its way; leaves follow the nodes.
module axiline #(
    parameter int FEATURES = 54,
    parameter int LANES    = 8,
    parameter int CYCLES   = 7,
    parameter int INPUT    = 8,   // bits of a feature and of a threshold, numbers with a sign
    parameter int INTERNAL = 16,  // bits of a leaf's value
    parameter int DEPTH    = 4,
    parameter int NODE     = DEPTH + 1,
    parameter int FEATURE  = FEATURES > 1 ? $clog2(FEATURES) : 1,
    parameter int CONTENT  = FEATURE + INPUT > INTERNAL ? FEATURE + INPUT : INTERNAL
) (
    input  logic                       clk,
    input  logic                       reset,
    input  logic                       write,
    input  logic [           NODE-1:0] write_node,
    input  logic [        CONTENT-1:0] write_content,
    input  logic                       in_valid,
    input  logic [    LANES*INPUT-1:0] in_vector,
    output logic                       out_valid,
    output logic signed [INTERNAL-1:0] out
);
  localparam int STAGES = (DEPTH + CYCLES - 1) / CYCLES;
  localparam int LEAVES = 1 << DEPTH;
  localparam int PART = LANES * INPUT;
  localparam int COUNTER = CYCLES > 1 ? $clog2(CYCLES) : 1;

  // The parts of a vector, the first in the lowest bits.
  logic [COUNTER-1:0] part;
  logic last;
  logic [CYCLES*PART-1:0] all;
  assign last = part == COUNTER'(CYCLES - 1);
  always_ff @(posedge clk) begin
    if (reset) part <= '0;
    else if (in_valid) part <= last ? '0 : part + 1;
  end
  if (CYCLES > 1) begin : g_collect
    logic [(CYCLES-1)*PART-1:0] held;
    assign all = {in_vector, held};
    always_ff @(posedge clk) if (in_valid) held <= all[CYCLES*PART-1:PART];
  end else begin : g_at_once
    assign all = in_vector;
  end

  logic [STAGES:0] valid;
  logic [NODE-1:0] node[STAGES+1];
  logic [FEATURES*INPUT-1:0] vector[STAGES+1];
  assign valid[0]  = in_valid && last;
  assign node[0]   = '0;
  assign vector[0] = all[FEATURES*INPUT-1:0];
  for (genvar s = 0; s < STAGES; s++) begin : g_stage
    localparam int ABOVE = s * CYCLES;
    localparam int LEVELS = DEPTH - ABOVE < CYCLES ? DEPTH - ABOVE : CYCLES;
    tree_stage #(
        .FEATURES(FEATURES), .INPUT(INPUT), .LEVELS(LEVELS), .NODE(NODE), .FEATURE(FEATURE),
        .FIRST((1 << ABOVE) - 1), .LAST((1 << (ABOVE + LEVELS)) - 2)
    ) stage (
        .clk, .reset, .write, .write_node, .write_content(write_content[FEATURE+INPUT-1:0]),
        .in_valid(valid[s]), .in_node(node[s]), .in_vector(vector[s]),
        .out_valid(valid[s+1]), .out_node(node[s+1]), .out_vector(vector[s+1])
    );
  end

  logic [INTERNAL-1:0] leaves[LEAVES];
  logic [NODE-1:0] leaf, write_leaf;
  logic found;
  assign write_leaf = write_node - NODE'(LEAVES - 1);
  always_ff @(posedge clk) begin
    if (write && write_node >= NODE'(LEAVES - 1)) leaves[write_leaf[DEPTH-1:0]] <= write_content[INTERNAL-1:0];
    found <= !reset && valid[STAGES];
    if (valid[STAGES]) leaf <= node[STAGES] - NODE'(LEAVES - 1);
    out_valid <= !reset && found;
    if (found) out <= leaves[leaf[DEPTH-1:0]];
  end
  wire unused = &{1'b0, vector[STAGES], all, leaf, write_leaf, write_content};
endmodule
