// The compute module: loads micro-operations and sums, multiplies tiles into sums, and works on sums by the ALU.
//
// A step goes through six stages, one per cycle:
//   0 its micro-operation is read           3 products
//   1 its indices                           4 their sum; the sums that are written are read
//   2 inputs and weights are read           5 accumulation, or the ALU's operation
// and is written in cycle 6. Sums that were written in this or the last cycle are taken from there, so that steps on the
// same sums may follow each other.
module compute #(
    parameter int BATCH        = 1,
    parameter int BLOCK_IN     = 16,
    parameter int BLOCK_OUT    = 16,
    parameter int INPUT        = 8,     // bits
    parameter int WEIGHT       = 8,
    parameter int ACCUMULATOR  = 32,
    parameter int UOPS         = 8192,  // entries
    parameter int INPUTS       = 2048,
    parameter int WEIGHTS      = 1024,
    parameter int ACCUMULATORS = 2048,
    parameter int BUS          = 8,     // bytes
    parameter int SHIFT        = 4
) (
    input  logic                                 clk,
    input  logic                                 reset,
    input  logic                                 valid,
    input  logic [                        127:0] command,
    output logic                                 done,
    input  logic                                 input_token,   // from the load module
    input  logic                                 output_token,  // from the store module
    output logic                                 starts,
    output logic                                 sends_input,   // a token to the load module
    output logic                                 sends_output,  // a token to the store module
    output logic                                 request,
    output logic                                 request_last,
    output logic [                         31:0] request_address,
    output logic [                          7:0] request_length,
    input  logic                                 request_taken,
    input  logic                                 beat,
    input  logic [                    BUS*8-1:0] beat_data,
    output logic                                 input_read,
    output logic [           $clog2(INPUTS)-1:0] input_address,
    input  logic [     BATCH*BLOCK_IN*INPUT-1:0] inputs,
    output logic                                 weight_read,
    output logic [          $clog2(WEIGHTS)-1:0] weight_address,
    input  logic [BLOCK_OUT*BLOCK_IN*WEIGHT-1:0] weights,
    output logic                                 output_write,
    output logic [     $clog2(ACCUMULATORS)-1:0] output_address,
    output logic [    BATCH*BLOCK_OUT*INPUT-1:0] outputs,
    output logic                                 multiplies,    // a step that multiplies is at stage 2
    output logic                                 busy
);
  localparam int LANES = BATCH * BLOCK_OUT;
  localparam int TILE = LANES * ACCUMULATOR;
  localparam int BEATS = TILE / (BUS * 8);
  localparam int PART = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;
  localparam int ACC = $clog2(ACCUMULATORS);
  localparam int SUM = INPUT + WEIGHT + $clog2(BLOCK_IN);
  localparam int PER_WORD = BUS / 4;                     // micro-operations of a word of their memory
  localparam int WORD = $clog2(UOPS / PER_WORD);
  localparam int PLACE = $clog2(PER_WORD) > 0 ? $clog2(PER_WORD) : 1;
  localparam logic [2:0] ADD = 3'd2;                      // an operation of the ALU
  typedef struct packed {
    logic        first_of_two;
    logic        is_alu;
    logic        clears;
    logic        writes_output;
    logic [2:0]  operation;
    logic        immediate;
    logic [15:0] value;
  } step_t;

  // What the command is, and when it starts.
  logic is_load, is_alu, to_uops, idle, piped, moving, moved, start, twice;
  logic issues, last, first_of_two;
  logic [12:0] uop;
  logic [10:0] target_offset, source_offset;
  logic [9:0] weight_offset;
  logic [5:0] valids;   // of stages 1 to 6
  logic [5:0] input_sent, output_sent;
  assign is_load = command[2:0] == 3'd0;
  assign is_alu = command[2:0] == 3'd3;
  assign to_uops = command[9:7] == 3'd3;
  assign twice = is_alu && !command[120];
  assign idle = !issues && !moving;
  assign piped = valids != 0;
  assign start = valid && idle && (!command[3] || input_token) && (!command[4] || output_token) && !(is_load && piped);
  assign starts = start;
  assign done = last || moved;
  assign busy = !idle || piped;
  issue issue (
      .clk, .reset, .start(start && !is_load), .command, .twice, .valid(issues), .last, .first_of_two, .uop,
      .target(target_offset), .source(source_offset), .weight(weight_offset)
  );

  // Loads.
  logic no_zeros;
  logic [12:0] write_address;
  logic [PART-1:0] write_part;
  transfer #(.BUS(BUS), .SHIFT(SHIFT), .PART(PART), .BORDERS(0)) transfer (
      .clk, .reset, .start(start && is_load), .command, .tile_shift(to_uops ? '0 : SHIFT'($clog2(BEATS))), .request,
      .request_last, .request_address, .request_length, .request_taken, .beat, .write_zeros(no_zeros), .write_address, .write_part,
      .finish(moved)
  );
  always_ff @(posedge clk) moving <= !reset && ((start && is_load) || (moving && !moved));

  // Stages 0 and 1.
  logic [BUS*8-1:0] uop_word;
  logic [31:0] uop_out;
  logic [10:0] target_1, source_1;
  logic [9:0] weight_1;
  sram_1r1w #(.WORDS(UOPS / PER_WORD), .BITS(BUS * 8)) uop_memory (
      .clk, .read(issues), .read_address(WORD'(uop >> $clog2(PER_WORD))), .out(uop_word),
      .write(beat && to_uops), .write_address(write_address[WORD-1:0]), .in(beat_data)
  );
  if (PER_WORD == 1) begin : g_one
    assign uop_out = uop_word;
  end else begin : g_several
    logic [PLACE-1:0] place;
    always_ff @(posedge clk) place <= uop[PLACE-1:0];
    assign uop_out = uop_word[place*32+:32];
  end
  always_ff @(posedge clk) begin
    target_1 <= target_offset;
    source_1 <= source_offset;
    weight_1 <= weight_offset;
  end

  // What goes along with a step, by stage.
  step_t step_1, step_2, step_3, step_4, step_5;
  logic [10:0] targets[2:7];
  logic [10:0] sources_2, sources_3, sources_4;
  logic [9:0] weights_2;
  always_ff @(posedge clk) begin
    valids <= reset ? '0 : {valids[4:0], issues};
    input_sent <= reset ? '0 : {input_sent[4:0], last && command[5]};
    output_sent <= reset ? '0 : {output_sent[4:0], last && command[6]};
    step_1 <= {
      first_of_two, is_alu, !is_alu && command[7], command[8], is_alu ? command[123:121] : ADD, command[120],
      command[119:104]
    };
    step_2 <= step_1;
    step_3 <= step_2;
    step_4 <= step_3;
    step_5 <= step_4;
    targets[2] <= uop_out[10:0] + target_1;
    for (int s = 3; s <= 7; s++) targets[s] <= targets[s-1];
    sources_2 <= uop_out[21:11] + source_1;
    sources_3 <= sources_2;
    sources_4 <= sources_3;
    weights_2 <= uop_out[31:22] + weight_1;
  end
  assign sends_input = input_sent[5] || (moved && command[5]);
  assign sends_output = output_sent[5] || (moved && command[6]);

  // Stages 2 to 4: the product.
  logic product_3;
  logic [LANES*SUM-1:0] sums;
  assign multiplies = valids[1] && !step_2.is_alu && !step_2.clears;
  assign input_read = multiplies;
  assign weight_read = multiplies;
  assign input_address = sources_2[$clog2(INPUTS)-1:0];
  assign weight_address = weights_2[$clog2(WEIGHTS)-1:0];
  always_ff @(posedge clk) product_3 <= multiplies;
  gemm #(
      .BATCH(BATCH), .BLOCK_IN(BLOCK_IN), .BLOCK_OUT(BLOCK_OUT), .INPUT(INPUT), .WEIGHT(WEIGHT), .SUM(SUM)
  ) gemm (.clk, .multiplies(product_3), .inputs, .weights, .sums);

  // Stages 4 to 6: the sums.
  logic [10:0] read_address;
  logic reads, from_last, from_before, writes_5, writes_6, writes_7, output_6;
  logic [TILE-1:0] read_tile, tile, operand, result_5, result_6, result_7, load_tile;
  logic [BEATS-1:0] writes_beat;
  assign read_address = step_4.first_of_two ? sources_4 : targets[4];
  assign reads = valids[3] && !step_4.clears;
  assign writes_5 = valids[4] && !step_5.first_of_two;
  always_ff @(posedge clk) begin
    from_last <= writes_5 && read_address[ACC-1:0] == targets[5][ACC-1:0];
    from_before <= writes_6 && read_address[ACC-1:0] == targets[6][ACC-1:0];
    writes_6 <= !reset && writes_5;
    writes_7 <= !reset && writes_6;
    output_6 <= !reset && writes_5 && step_5.writes_output;
    if (writes_5) result_6 <= result_5;
    if (writes_6) result_7 <= result_6;
    if (valids[4] && step_5.first_of_two) operand <= tile;
  end
  assign tile = from_last ? result_6 : from_before ? result_7 : read_tile;
  for (genvar l = 0; l < LANES; l++) begin : g_lane
    logic [ACCUMULATOR-1:0] own, other, result;
    assign own = tile[l*ACCUMULATOR+:ACCUMULATOR];
    always_comb begin
      other = operand[l*ACCUMULATOR+:ACCUMULATOR];
      if (step_5.immediate) other = ACCUMULATOR'($signed(step_5.value));
      if (!step_5.is_alu) other = ACCUMULATOR'($signed(sums[l*SUM+:SUM]));
    end
    alu_lane #(.WIDTH(ACCUMULATOR), .FACTOR(INPUT)) alu (.operation(step_5.operation), .a(own), .b(other), .out(result));
    assign result_5[l*ACCUMULATOR+:ACCUMULATOR] = step_5.clears ? '0 : result;
    assign outputs[l*INPUT+:INPUT] = result_6[l*ACCUMULATOR+:INPUT];
  end
  assign output_write = output_6;
  assign output_address = targets[6][ACC-1:0];

  for (genvar b = 0; b < BEATS; b++) begin : g_beat
    assign load_tile[b*BUS*8+:BUS*8] = beat_data;
    assign writes_beat[b] = writes_6 || (beat && !to_uops && write_part == PART'(b));
  end
  buffer #(.TILES(ACCUMULATORS), .BEATS(BEATS), .BITS(BUS * 8)) accumulators (
      .clk, .read(reads), .read_address(read_address[ACC-1:0]), .out(read_tile), .write(writes_beat),
      .write_address(writes_6 ? targets[6][ACC-1:0] : write_address[ACC-1:0]), .in(writes_6 ? result_6 : load_tile)
  );
  wire unused = &{
    1'b0, no_zeros, writes_7, uop, sources_2, sources_4, weights_2, read_address, write_address, write_part, targets[7], targets[4],
    targets[5], targets[6]
  };
endmodule
