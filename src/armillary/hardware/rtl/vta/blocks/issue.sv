// Goes through two loops and, within them, a list of micro-operations: one step of the pipeline per cycle.
//
// A step is a micro-operation's address and what its loops add to its indices. An operation of the ALU on two tiles takes
// two steps, of which the first reads the second tile.
module issue (
    input  logic         clk,
    input  logic         reset,
    input  logic         start,
    input  logic [127:0] command,  // stays while steps are issued
    input  logic         twice,    // stays too
    output logic         valid,
    output logic         last,
    output logic         first_of_two,
    output logic [ 12:0] uop,
    output logic [ 10:0] target,   // what the loops add to the index of the tile that is written
    output logic [ 10:0] source,
    output logic [  9:0] weight
);
  logic [12:0] uop_begin;
  logic [13:0] uops, uops_left;
  logic [11:0] outer, inner, outer_left, inner_left;
  logic [10:0] target_outer, target_inner, source_outer, source_inner, target_row, source_row;
  logic [9:0] weight_outer, weight_inner, weight_row;
  logic steps, ends_uops, ends_inner;
  assign uop_begin = command[21:9];
  assign uops = command[35:22];
  assign outer = command[47:36];
  assign inner = command[59:48];
  assign {source_inner, source_outer, target_inner, target_outer} = command[103:60];
  assign {weight_inner, weight_outer} = command[123:104];

  assign steps = valid && !first_of_two;
  assign ends_uops = uops_left == 14'd1;
  assign ends_inner = ends_uops && inner_left == 12'd1;
  assign last = steps && ends_inner && outer_left == 12'd1;
  always_ff @(posedge clk) begin
    valid <= !reset && (start || (valid && !last));
    first_of_two <= twice && (start || !first_of_two);
    if (start || steps) begin
      uop <= start || ends_uops ? uop_begin : uop + 1'b1;
      uops_left <= start || ends_uops ? uops : uops_left - 1'b1;
    end
    if (start || (steps && ends_uops)) inner_left <= start || ends_inner ? inner : inner_left - 1'b1;
    if (start || (steps && ends_inner)) outer_left <= start ? outer : outer_left - 1'b1;
    if (start) begin
      target_row <= '0;
      source_row <= '0;
      weight_row <= '0;
      target <= '0;
      source <= '0;
      weight <= '0;
    end else if (steps && ends_inner) begin
      target_row <= target_row + target_outer;
      source_row <= source_row + source_outer;
      weight_row <= weight_row + weight_outer;
      target <= target_row + target_outer;
      source <= source_row + source_outer;
      weight <= weight_row + weight_outer;
    end else if (steps && ends_uops) begin
      target <= target + target_inner;
      source <= source + source_inner;
      weight <= weight + weight_inner;
    end
  end
  wire unused = &{1'b0, command[127:124], command[8:0]};
endmodule
