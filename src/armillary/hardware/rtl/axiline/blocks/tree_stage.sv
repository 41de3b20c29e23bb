// Some levels of a decision tree, one a cycle; takes an input every LEVELS cycles at most.
//
// Nodes are numbered as in a heap: the root is 0, the children of node n are 2n + 1 and 2n + 2. The stage holds the nodes
// from FIRST to LAST. An input goes on to the second child if its feature exceeds the node's threshold.
module tree_stage #(
    parameter int FEATURES = 54,
    parameter int INPUT    = 8,                 // bits of a feature and of a threshold
    parameter int LEVELS   = 2,
    parameter int FIRST    = 0,
    parameter int LAST     = 2,
    parameter int NODE     = 3,                 // bits of a node's number
    parameter int FEATURE  = $clog2(FEATURES)   // bits of a feature's number
) (
    input  logic                      clk,
    input  logic                      reset,
    input  logic                      write,
    input  logic [          NODE-1:0] write_node,
    input  logic [ FEATURE+INPUT-1:0] write_content,  // the feature's number, and below it the threshold
    input  logic                      in_valid,
    input  logic [          NODE-1:0] in_node,
    input  logic [FEATURES*INPUT-1:0] in_vector,
    output logic                      out_valid,      // in the cycle in which the last level is done
    output logic [          NODE-1:0] out_node,
    output logic [FEATURES*INPUT-1:0] out_vector
);
  localparam int COUNT = LAST - FIRST + 1;
  localparam int ADDRESS = COUNT > 1 ? $clog2(COUNT) : 1;
  logic [FEATURE+INPUT-1:0] nodes[COUNT];
  logic [FEATURE+INPUT-1:0] content;
  logic [NODE-1:0] node, offset, write_offset;
  logic [LEVELS-1:0] level;  // one hot; zero while there is no input
  logic signed [INPUT-1:0] threshold, value;

  assign offset = node - NODE'(FIRST);
  assign write_offset = write_node - NODE'(FIRST);
  assign content = nodes[offset[ADDRESS-1:0]];
  assign threshold = content[INPUT-1:0];
  assign value = out_vector[content[INPUT+:FEATURE]*INPUT+:INPUT];
  assign out_node = (node << 1) + (value > threshold ? NODE'(2) : NODE'(1));
  assign out_valid = level[LEVELS-1];
  wire unused = &{1'b0, offset, write_offset};

  always_ff @(posedge clk) begin
    if (write && write_offset < NODE'(COUNT)) nodes[write_offset[ADDRESS-1:0]] <= write_content;
    level <= reset ? '0 : LEVELS'({level, in_valid});
    if (in_valid) out_vector <= in_vector;
    if (in_valid) node <= in_node;
    else if (level != '0) node <= out_node;
  end
endmodule
