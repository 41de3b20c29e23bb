// The accelerator: fetches commands, and runs those for loads, computations and stores side by side.
//
// The modules wait for each other by tokens alone. Behind the port is a memory that answers requests in their order.
module vta #(
    parameter int BATCH        = 1,     // rows of a tile of inputs
    parameter int BLOCK_IN     = 16,    // columns of a tile of inputs and of weights
    parameter int BLOCK_OUT    = 16,    // rows of a tile of weights
    parameter int INPUT        = 8,     // bits
    parameter int WEIGHT       = 8,     // bits
    parameter int ACCUMULATOR  = 32,    // bits
    parameter int UOPS         = 8192,  // micro-operations
    parameter int INPUTS       = 2048,  // tiles
    parameter int WEIGHTS      = 1024,  // tiles
    parameter int ACCUMULATORS = 2048,  // tiles, of sums and of outputs
    parameter int BUS          = 8      // bytes
) (
    input  logic             clk,
    input  logic             reset,
    input  logic [     31:0] program_address,  // a multiple of 256; taken in the reset
    output logic             request,
    output logic             request_write,
    output logic [      1:0] request_client,
    output logic [     31:0] request_address,
    output logic [      7:0] request_length,   // beats, less one
    input  logic             request_taken,
    input  logic             read_beat,        // always taken
    input  logic [      1:0] read_client,
    input  logic [BUS*8-1:0] read_data,
    output logic             write_beat,
    output logic [BUS*8-1:0] write_data,
    input  logic             write_taken,
    output logic             done,
    output logic             active,           // some module works
    output logic             multiplies,
    output logic [      2:0] waits             // a command for load, compute, store waits for tokens
);
  localparam int DEPTH = 16;  // commands that wait for a module
  localparam int SHIFT = 4;
  localparam int INPUT_BEATS = BATCH * BLOCK_IN * INPUT / (BUS * 8);
  localparam int WEIGHT_BEATS = BLOCK_OUT * BLOCK_IN * WEIGHT / (BUS * 8);
  localparam int OUTPUT_BEATS = BATCH * BLOCK_OUT * INPUT / (BUS * 8);
  localparam int ACC = $clog2(ACCUMULATORS);

  // Clients of the port: 0 fetch, 1 compute, 2 store, 3 load.
  logic [3:0] wants, lasts, takens;
  logic [127:0] addresses;
  logic [31:0] lengths;
  assign lasts[0] = 1'b1;
  assign request_write = request_client == 2'd2;
  port port (
      .clk, .reset, .wants, .lasts, .addresses, .lengths, .request, .client(request_client), .address(request_address),
      .length(request_length), .taken(request_taken), .takens
  );

  // A command is two words.
  logic word_valid, word_taken, has_first, ended, is_last;
  logic [63:0] word, first;
  logic [127:0] command;
  logic [2:0] kind, pushes, fulls, valids, dones, starts;
  logic to_load, to_store, blocked;
  logic [127:0] heads[3];
  fetch #(.BUS(BUS)) fetch (
      .clk, .reset, .stop(ended), .start_address(program_address), .request(wants[0]), .request_taken(takens[0]),
      .request_address(addresses[31:0]), .request_length(lengths[7:0]), .beat(read_beat && read_client == 2'd0),
      .beat_data(read_data), .word_valid, .word, .word_taken
  );
  assign command = {word, first};
  assign kind = first[2:0];
  assign is_last = kind == 3'd4;
  assign to_load = kind == 3'd0 && !first[8];  // of inputs or weights
  assign to_store = kind == 3'd1;
  assign blocked = |(fulls & {to_store, !to_load && !to_store, to_load}) && !is_last;
  assign word_taken = word_valid && !ended && (!has_first || !blocked);
  assign pushes = {3{word_taken && has_first && !is_last}} & {to_store, !to_load && !to_store, to_load};
  always_ff @(posedge clk)
    if (reset) begin
      has_first <= 1'b0;
      ended <= 1'b0;
    end else if (word_taken) begin
      has_first <= !has_first;
      if (has_first && is_last) ended <= 1'b1;
    end
  always_ff @(posedge clk) if (word_taken && !has_first) first <= word;
  for (genvar m = 0; m < 3; m++) begin : g_module
    commands #(.DEPTH(DEPTH)) commands (
        .clk, .reset, .push(pushes[m]), .in(command), .full(fulls[m]), .valid(valids[m]), .out(heads[m]), .done(dones[m])
    );
  end

  // Tokens: from load to compute, back, from compute to store, back.
  logic [3:0] sends, takes, there;
  for (genvar t = 0; t < 4; t++) begin : g_tokens
    tokens tokens (.clk, .reset, .push(sends[t]), .pop(takes[t]), .there(there[t]));
  end
  assign takes[0] = starts[1] && heads[1][3];
  assign takes[1] = starts[0] && heads[0][4];
  assign takes[2] = starts[2] && heads[2][3];
  assign takes[3] = starts[1] && heads[1][4];

  logic [INPUT_BEATS-1:0] input_write;
  logic [WEIGHT_BEATS-1:0] weight_write;
  logic [BATCH*BLOCK_IN*INPUT-1:0] inputs, inputs_in;
  logic [BLOCK_OUT*BLOCK_IN*WEIGHT-1:0] weights, weights_in;
  logic [BATCH*BLOCK_OUT*INPUT-1:0] outputs, output_tile;
  logic [12:0] load_address;
  logic [$clog2(INPUTS)-1:0] input_address;
  logic [$clog2(WEIGHTS)-1:0] weight_address;
  logic [ACC-1:0] output_address, store_address;
  logic load_busy, load_zeros, input_read, weight_read, compute_busy, output_write, store_busy, store_read;
  load #(.BUS(BUS), .INPUT_BEATS(INPUT_BEATS), .WEIGHT_BEATS(WEIGHT_BEATS), .SHIFT(SHIFT)) load (
      .clk, .reset, .valid(valids[0]), .command(heads[0]), .done(dones[0]), .token(there[1]), .starts(starts[0]),
      .sends(sends[0]), .request(wants[3]), .request_last(lasts[3]), .request_address(addresses[127:96]),
      .request_length(lengths[31:24]), .request_taken(takens[3]), .beat(read_beat && read_client == 2'd3),
      .write_address(load_address), .write_zeros(load_zeros), .input_write, .weight_write, .busy(load_busy)
  );
  assign inputs_in = load_zeros ? '0 : {INPUT_BEATS{read_data}};
  assign weights_in = load_zeros ? '0 : {WEIGHT_BEATS{read_data}};
  buffer #(.TILES(INPUTS), .BEATS(INPUT_BEATS), .BITS(BUS * 8)) input_buffer (
      .clk, .read(input_read), .read_address(input_address), .out(inputs), .write(input_write),
      .write_address(load_address[$clog2(INPUTS)-1:0]), .in(inputs_in)
  );
  buffer #(.TILES(WEIGHTS), .BEATS(WEIGHT_BEATS), .BITS(BUS * 8)) weight_buffer (
      .clk, .read(weight_read), .read_address(weight_address), .out(weights), .write(weight_write),
      .write_address(load_address[$clog2(WEIGHTS)-1:0]), .in(weights_in)
  );

  compute #(
      .BATCH(BATCH), .BLOCK_IN(BLOCK_IN), .BLOCK_OUT(BLOCK_OUT), .INPUT(INPUT), .WEIGHT(WEIGHT),
      .ACCUMULATOR(ACCUMULATOR), .UOPS(UOPS), .INPUTS(INPUTS), .WEIGHTS(WEIGHTS), .ACCUMULATORS(ACCUMULATORS),
      .BUS(BUS), .SHIFT(SHIFT)
  ) compute (
      .clk, .reset, .valid(valids[1]), .command(heads[1]), .done(dones[1]), .input_token(there[0]),
      .output_token(there[3]), .starts(starts[1]), .sends_input(sends[1]), .sends_output(sends[2]), .request(wants[1]),
      .request_last(lasts[1]), .request_address(addresses[63:32]), .request_length(lengths[15:8]),
      .request_taken(takens[1]), .beat(read_beat && read_client == 2'd1), .beat_data(read_data), .input_read,
      .input_address, .inputs, .weight_read, .weight_address, .weights, .output_write, .output_address, .outputs,
      .multiplies, .busy(compute_busy)
  );
  buffer #(.TILES(ACCUMULATORS), .BEATS(OUTPUT_BEATS), .BITS(BUS * 8)) output_buffer (
      .clk, .read(store_read), .read_address(store_address), .out(output_tile), .write({OUTPUT_BEATS{output_write}}),
      .write_address(output_address), .in(outputs)
  );

  assign starts[2] = valids[2] && !store_busy && (!heads[2][3] || there[2]);
  assign sends[3] = dones[2] && heads[2][5];
  always_ff @(posedge clk) store_busy <= !reset && (starts[2] || (store_busy && !dones[2]));
  store #(.BUS(BUS), .BEATS(OUTPUT_BEATS), .ADDRESS(ACC)) store (
      .clk, .reset, .start(starts[2]), .command(heads[2]), .request(wants[2]), .request_last(lasts[2]),
      .request_address(addresses[95:64]), .request_length(lengths[23:16]), .request_taken(takens[2]), .read(store_read),
      .read_address(store_address), .tile(output_tile), .beat(write_beat), .beat_data(write_data),
      .beat_taken(write_taken), .finish(dones[2])
  );

  assign active = load_busy || compute_busy || store_busy;
  assign waits = valids & ~starts & ~{store_busy, compute_busy, load_busy};
  assign done = ended && !active && valids == 0;
  wire unused = &{1'b0, load_address};
endmodule
