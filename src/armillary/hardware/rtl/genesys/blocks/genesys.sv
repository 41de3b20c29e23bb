// A systolic array with a vector unit, fed by instructions.
//
// `start` begins the program at an address of DRAM; `done` tells that it has ended. Three ports go to DRAM: instructions
// and data are read, results are written. A read or write names any byte address and moves PORT bits from there on, a
// narrow word the low ones of them; answers come in the order of requests and are always taken.
module genesys #(
    parameter int ARRAY      = 16,
    parameter int DATA       = 8,    // bits of an activation
    parameter int WEIGHT     = 8,    // bits of a weight
    parameter int IBUF_WORDS = 4096,
    parameter int WBUF_WORDS = 4096,
    parameter int OBUF_WORDS = 2048,
    parameter int BBUF_WORDS = 64,
    parameter int VMEM_WORDS = 1024,
    parameter int PORT       = 128
) (
    input  logic            clk,
    input  logic            reset,
    input  logic            start,
    input  logic [    31:0] program_address,
    output logic            done,
    output logic            fetch_valid,
    input  logic            fetch_ready,
    output logic [    31:0] fetch_address,
    input  logic            fetched_valid,
    input  logic [    63:0] fetched,
    output logic            read_valid,
    input  logic            read_ready,
    output logic [    31:0] read_address,
    output logic            read_last,      // comes back with its answer
    input  logic            in_valid,
    input  logic            in_last,
    input  logic [PORT-1:0] in,
    output logic            out_valid,
    input  logic            out_ready,
    output logic [    31:0] out_address,
    output logic [PORT-1:0] out,
    output logic [     2:0] busy            // a word loads, enters the array, enters the vector unit
);
  localparam int TOKENS = 6, COMMAND = 39, QUEUE = 4;
  localparam int PSUM = DATA + WEIGHT + $clog2(ARRAY);
  localparam int IBUF = $clog2(IBUF_WORDS), WBUF = $clog2(WBUF_WORDS), OBUF = $clog2(OBUF_WORDS);
  localparam int BBUF = $clog2(BBUF_WORDS), VMEM = $clog2(VMEM_WORDS);
  localparam int LONG_IN = IBUF > WBUF ? IBUF : WBUF, LONG_OUT = BBUF > VMEM ? BBUF : VMEM;
  localparam int LONGEST = LONG_IN > LONG_OUT ? LONG_IN : LONG_OUT;

  // Instructions: fetched in order, and queued for each unit.
  logic [2:0] push, pops, there, full, idles;
  logic [COMMAND-1:0] fetched_command;
  logic [3*COMMAND-1:0] commands;
  logic [TOKENS-1:0] tokens_there;
  logic [3*TOKENS-1:0] takes, gives;

  fetch #(.COMMAND(COMMAND)) u_fetch (
      .clk(clk), .reset(reset), .start(start), .program_address(program_address), .done(done),
      .read_valid(fetch_valid), .read_ready(fetch_ready), .read_address(fetch_address), .in_valid(fetched_valid),
      .in(fetched), .push(push), .command(fetched_command), .full(full), .idle(idles == '1 && there == '0)
  );
  for (genvar u = 0; u < 3; u++) begin : g_queue
    fifo #(.WIDTH(COMMAND), .DEPTH(QUEUE)) u_queue (
        .clk(clk), .reset(reset), .push(push[u]), .in(fetched_command), .pop(pops[u]),
        .out(commands[u*COMMAND+:COMMAND]), .there(there[u]), .full(full[u])
    );
  end
  tokens #(.CHANNELS(TOKENS)) u_tokens (
      .clk(clk), .reset(reset), .give(gives[0+:TOKENS] | gives[TOKENS+:TOKENS] | gives[2*TOKENS+:TOKENS]),
      .take(takes[0+:TOKENS] | takes[TOKENS+:TOKENS] | takes[2*TOKENS+:TOKENS]), .there(tokens_there)
  );

  // Loads.
  logic [4:0] load_write;
  logic load_narrow;
  logic [LONGEST-1:0] load_address;
  logic [ARRAY*32-1:0] load_word, vmem_load;
  load #(
      .PORT(PORT), .INPUT(ARRAY * DATA), .WEIGHT(ARRAY * WEIGHT), .SUM(ARRAY * 32), .ADDRESS(LONGEST), .TOKENS(TOKENS)
  ) u_load (
      .clk(clk), .reset(reset), .there(there[0]), .command(commands[0+:COMMAND]), .pop(pops[0]),
      .tokens_there(tokens_there), .take(takes[0+:TOKENS]), .give(gives[0+:TOKENS]), .idle(idles[0]),
      .read_valid(read_valid), .read_ready(read_ready), .read_address(read_address), .read_last(read_last),
      .in_valid(in_valid), .in_last(in_last), .in(in), .write(load_write), .write_narrow(load_narrow),
      .write_address(load_address), .write_word(load_word)
  );

  // The array between its buffers.
  logic wbuf_read, ibuf_read, in_begins, sum_valid;
  logic [WBUF-1:0] wbuf_address;
  logic [IBUF-1:0] ibuf_address;
  logic [OBUF-1:0] sum_address, sums_address;
  logic [BBUF-1:0] bias_address;
  logic [ARRAY-1:0] weight_write;
  logic [1:0] sum_from;
  logic [ARRAY*DATA-1:0] inputs;
  logic [ARRAY*WEIGHT-1:0] weights;
  logic [ARRAY*PSUM-1:0] results;
  logic [ARRAY*32-1:0] bias, sums_word;
  logic sums_read;
  array_control #(
      .ARRAY(ARRAY), .IBUF(IBUF), .WBUF(WBUF), .OBUF(OBUF), .BBUF(BBUF), .TOKENS(TOKENS)
  ) u_control (
      .clk(clk), .reset(reset), .there(there[1]), .command(commands[COMMAND+:COMMAND]), .pop(pops[1]),
      .tokens_there(tokens_there), .take(takes[TOKENS+:TOKENS]), .give(gives[TOKENS+:TOKENS]), .idle(idles[1]),
      .wbuf_read(wbuf_read), .wbuf_address(wbuf_address), .weight_write(weight_write), .ibuf_read(ibuf_read),
      .ibuf_address(ibuf_address), .in_begins(in_begins), .sum_valid(sum_valid), .sum_from(sum_from),
      .sum_address(sum_address), .bias_address(bias_address)
  );
  sram_1r1w #(.WORDS(IBUF_WORDS), .BITS(ARRAY * DATA)) u_ibuf (
      .clk(clk), .read(ibuf_read), .read_address(ibuf_address), .out(inputs), .write(load_write[0]),
      .write_address(load_address[IBUF-1:0]), .in(load_word[ARRAY*DATA-1:0])
  );
  sram_1r1w #(.WORDS(WBUF_WORDS), .BITS(ARRAY * WEIGHT)) u_wbuf (
      .clk(clk), .read(wbuf_read), .read_address(wbuf_address), .out(weights), .write(load_write[1]),
      .write_address(load_address[WBUF-1:0]), .in(load_word[ARRAY*WEIGHT-1:0])
  );
  sram_1r1w #(.WORDS(BBUF_WORDS), .BITS(ARRAY * 32)) u_bbuf (
      .clk(clk), .read(sum_valid), .read_address(bias_address), .out(bias), .write(load_write[2]),
      .write_address(load_address[BBUF-1:0]), .in(load_word)
  );
  systolic_array #(.ARRAY(ARRAY), .DATA(DATA), .WEIGHT(WEIGHT), .PSUM(PSUM)) u_array (
      .clk(clk), .in(inputs), .in_begins(in_begins), .weight_write(weight_write), .weights(weights), .sums(results)
  );
  sums #(.ARRAY(ARRAY), .PSUM(PSUM), .WORDS(OBUF_WORDS), .ADDRESS(OBUF)) u_sums (
      .clk(clk), .reset(reset), .valid(sum_valid), .from(sum_from), .address(sum_address), .bias(bias),
      .results(results), .read(sums_read), .read_address(sums_address), .read_word(sums_word)
  );

  // The vector unit and its memories, which it and the loads write, never at once.
  logic [1:0] vmem_read, vmem_write;
  logic [2*VMEM-1:0] vmem_address;
  logic [VMEM-1:0] vmem_write_address;
  logic [ARRAY*64-1:0] vmem_words;
  logic [ARRAY*32-1:0] vmem_value;
  vector_unit #(
      .LANES(ARRAY), .DATA(DATA), .PORT(PORT), .OBUF(OBUF), .VMEM(VMEM), .TOKENS(TOKENS)
  ) u_vector (
      .clk(clk), .reset(reset), .there(there[2]), .command(commands[2*COMMAND+:COMMAND]), .pop(pops[2]),
      .tokens_there(tokens_there), .take(takes[2*TOKENS+:TOKENS]), .give(gives[2*TOKENS+:TOKENS]), .idle(idles[2]),
      .sums_read(sums_read), .sums_address(sums_address), .sums_word(sums_word), .vmem_read(vmem_read),
      .vmem_address(vmem_address), .vmem_words(vmem_words), .vmem_write(vmem_write),
      .write_address(vmem_write_address), .write_word(vmem_value), .out_valid(out_valid), .out_ready(out_ready),
      .out_address(out_address), .out(out)
  );
  for (genvar n = 0; n < ARRAY; n++) begin : g_widened
    assign vmem_load[n*32+:32] = load_narrow ? 32'(signed'(load_word[n*DATA+:DATA])) : load_word[n*32+:32];
  end
  for (genvar v = 0; v < 2; v++) begin : g_vmem
    sram_1r1w #(.WORDS(VMEM_WORDS), .BITS(ARRAY * 32)) u_vmem (
        .clk(clk), .read(vmem_read[v]), .read_address(vmem_address[v*VMEM+:VMEM]),
        .out(vmem_words[v*ARRAY*32+:ARRAY*32]), .write(vmem_write[v] || load_write[3+v]),
        .write_address(vmem_write[v] ? vmem_write_address : load_address[VMEM-1:0]),
        .in(vmem_write[v] ? vmem_value : vmem_load)
    );
  end
  assign busy = {sums_read || vmem_read != '0, ibuf_read, in_valid};
endmodule
