// The execute unit: the array, and the walk of each dataflow that it has.
//
// A walk reads inputs and weights from the scratchpad into the array, and says where each row of sums that leaves the
// array belongs. In an array that has both dataflows, a command says which is its own; a command of the other than the
// one before waits until all sums before it have left.
module execute #(
    parameter int DIM      = 16,
    parameter int DATAFLOW = 1,   // 1 weight stationary, 2 output stationary, 3 either
    parameter int PSUM     = 32,
    parameter int LOOPS    = 12,
    parameter int WIDTH    = 18,  // of a row
    parameter int PIXEL    = 18,  // of a coordinate
    parameter int SLOTS    = 5,
    parameter int SLOT     = $clog2(SLOTS),
    parameter int LOOP     = $clog2(LOOPS)
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic [            6:0] least_run,      // see `weight_walk`
    input  logic                   put,
    input  logic [       SLOT-1:0] put_slot,
    input  logic [       LOOP-1:0] put_loop,
    input  logic [          127:0] put_words,
    input  logic                   start,
    output logic                   ready,          // takes a command
    output logic                   finish,         // the sums of a command are in the accumulator
    input  logic                   holds_sums,     // output stationary
    input  logic                   fresh,
    input  logic [      LOOPS-1:0] resting,        // loops that do not index what the array holds, the innermost ones
    input  logic [      LOOPS-1:0] reduces,
    input  logic [      LOOPS-1:0] block,          // loops over the pixels of a block
    input  logic [           11:0] channels,       // of a step
    input  logic [           11:0] pixels_of_block,
    input  logic [      WIDTH-1:0] input_row,
    input  logic [      WIDTH-1:0] weight_row,
    input  logic [      WIDTH-1:0] output_row,
    input  logic [      PIXEL-1:0] y,
    input  logic [      PIXEL-1:0] x,
    input  logic [      PIXEL-1:0] height,         // pixels with y below it and x below `width` exist
    input  logic [      PIXEL-1:0] width,
    input  logic [       SLOT-1:0] slot,           // where the words of its loops lie
    input  logic [      LOOPS-1:0] turning,        // loops that it has
    output logic                   input_want,
    output logic [      WIDTH-1:0] input_want_row,
    input  logic                   input_grant,
    input  logic [      DIM*8-1:0] input_data,
    output logic                   weight_want,
    output logic [      WIDTH-1:0] weight_want_row,
    input  logic                   weight_grant,
    input  logic [      DIM*8-1:0] weight_data,
    output logic                   add,
    output logic                   add_fresh,
    output logic [      WIDTH-1:0] add_row,
    output logic [   DIM*PSUM-1:0] add_data,       // in the cycle after
    output logic                   issues,         // a pixel or a channel enters the array
    output logic                   conflicts       // one would, but its bank is taken
);
  // What goes into the array, and where the row of sums belongs that will leave it.
  logic in_valid, in_begins, weight_valid, weight_first, request, request_first;
  logic [DIM*8-1:0] in_row;
  logic target, target_last, target_fresh;
  logic [WIDTH-1:0] target_row;

  logic sums_now;  // what the array holds

  if (DATAFLOW == 1) begin : g_weights
    weight_walk #(.DIM(DIM), .LOOPS(LOOPS), .WIDTH(WIDTH), .PIXEL(PIXEL), .SLOTS(SLOTS)) walk (.*);
    assign sums_now = 1'b0;
    assign request = 1'b0;
    assign request_first = 1'b0;
    wire unused = &{1'b0, holds_sums, block, channels, pixels_of_block};
  end else if (DATAFLOW == 2) begin : g_outputs
    output_walk #(.DIM(DIM), .LOOPS(LOOPS), .WIDTH(WIDTH), .PIXEL(PIXEL), .SLOTS(SLOTS)) walk (.*);
    assign sums_now = 1'b1;
    assign target = request;
    assign weight_valid = 1'b0;
    assign weight_first = 1'b0;
    wire unused = &{1'b0, holds_sums, least_run};
  end else begin : g_either
    // Bit 0 is of the walk that holds weights, bit 1 of the one that holds sums. The one of them that does not work
    // wants nothing, and must not see what the other is granted.
    logic [1:0] starts, readies, inputs, weights, valids, begins, lasts, freshes, issuing, conflicting;
    logic [DIM*8-1:0] rows[2];
    logic [WIDTH-1:0] input_rows[2];
    logic [WIDTH-1:0] weight_rows[2];
    logic [WIDTH-1:0] target_rows[2];
    logic waits, goes, target_weights;
    logic [SLOT-1:0] own_slot, kept_slot;
    logic [4:0] under_way;  // commands; no queue is longer than 16

    assign goes = (start || waits) && (holds_sums == sums_now || under_way == 0);
    assign starts = {goes && holds_sums, goes && !holds_sums};
    assign own_slot = start ? slot : kept_slot;
    assign ready = !waits && readies[sums_now];
    always_ff @(posedge clk) begin
      if (start) kept_slot <= slot;
      if (reset) begin
        waits <= 1'b0;
        sums_now <= 1'b0;
        under_way <= '0;
      end else begin
        waits <= (start || waits) && !goes;
        if (goes) sums_now <= holds_sums;
        under_way <= under_way + 5'(goes) - 5'(finish);
      end
    end

    weight_walk #(.DIM(DIM), .LOOPS(LOOPS), .WIDTH(WIDTH), .PIXEL(PIXEL), .SLOTS(SLOTS)) weight_walk (
        .start(starts[0]), .ready(readies[0]), .slot(own_slot),
        .input_want(inputs[0]), .input_want_row(input_rows[0]), .input_grant(input_grant && !sums_now),
        .weight_want(weights[0]), .weight_want_row(weight_rows[0]), .weight_grant(weight_grant && !sums_now),
        .in_valid(valids[0]), .in_begins(begins[0]), .in_row(rows[0]), .target(target_weights),
        .target_last(lasts[0]), .target_fresh(freshes[0]), .target_row(target_rows[0]),
        .issues(issuing[0]), .conflicts(conflicting[0]), .*
    );
    output_walk #(.DIM(DIM), .LOOPS(LOOPS), .WIDTH(WIDTH), .PIXEL(PIXEL), .SLOTS(SLOTS)) output_walk (
        .start(starts[1]), .ready(readies[1]), .slot(own_slot),
        .input_want(inputs[1]), .input_want_row(input_rows[1]), .input_grant(input_grant && sums_now),
        .weight_want(weights[1]), .weight_want_row(weight_rows[1]), .weight_grant(weight_grant && sums_now),
        .in_valid(valids[1]), .in_begins(begins[1]), .in_row(rows[1]),
        .target_last(lasts[1]), .target_fresh(freshes[1]), .target_row(target_rows[1]),
        .issues(issuing[1]), .conflicts(conflicting[1]), .*
    );
    assign input_want = inputs[sums_now];
    assign input_want_row = input_rows[sums_now];
    assign weight_want = weights[sums_now];
    assign weight_want_row = weight_rows[sums_now];
    assign in_valid = valids[sums_now];
    assign in_begins = begins[sums_now];
    assign in_row = rows[sums_now];
    assign target = sums_now ? request : target_weights;
    assign target_last = lasts[sums_now];
    assign target_fresh = freshes[sums_now];
    assign target_row = target_rows[sums_now];
    assign issues = issuing[sums_now];
    assign conflicts = conflicting[sums_now];
  end

  logic comes, ends;
  systolic_array #(.DIM(DIM), .DATAFLOW(DATAFLOW), .PSUM(PSUM)) systolic_array (
      .clk, .reset, .holds_sums(sums_now), .in_valid, .in_begins, .in_row, .weight_valid, .weight_first,
      .weight_row(weight_data), .request, .request_first, .out_soon(comes), .out_row(add_data)
  );
  queue #(.WIDTH(WIDTH + 2), .DEPTH(2 * DIM + 1)) targets (
      .clk, .reset, .push(target), .in({target_last, target_fresh, target_row}), .take(comes),
      .taken({ends, add_fresh, add_row})
  );
  always_ff @(posedge clk) begin
    add <= comes && !reset;
    finish <= add && ends && !reset;  // the sum is written a cycle after it is added
  end
endmodule
