// Processing units of processing elements that walk through a dataflow graph, by a schedule that was made beforehand.
//
// All elements follow one program counter. Before the first step the host writes, while `idle` is high, a program for every
// element, weights, and how many instructions and words of inputs a step has. Then words of LANES elements of inputs come in,
// one in every cycle in which `in_valid` and `in_ready` are high, and values leave at `out` where the program says so.
module tabla #(
    parameter int UNITS          = 2,
    parameter int ELEMENTS       = 4,    // of a unit
    parameter int LANES          = 4,    // elements of inputs that come in a cycle
    parameter int BITS           = 16,   // of an element of an input; half of them after the point
    parameter int INTERNAL       = 32,   // of all other numbers; half of them after the point
    parameter int DATA           = 16,   // elements of inputs that an element of a unit holds, twice
    parameter int WEIGHT         = 64,
    parameter int INTERMEDIATE   = 64,
    parameter int INBOX          = 64,
    parameter int INSTRUCTIONS   = 256,
    parameter int INSTRUCTION    = 70,   // bits
    parameter int CONFIG         = 70,   // bits; those of an instruction or of a weight, what is more
    parameter int CONFIG_ADDRESS = 8,    // bits; those of an instruction's or of a weight's address, what is more
    parameter int WORD           = 5     // bits of the number of a word of a step
) (
    input  logic                                clk,
    input  logic                                reset,
    input  logic                                config_write,
    input  logic [                         1:0] config_kind,     // 0 instruction, 1 weight, 2 last instruction, 3 last word, behind it last group
    input  logic [$clog2(UNITS*ELEMENTS)-1:0] config_element,
    input  logic [          CONFIG_ADDRESS-1:0] config_address,
    input  logic [                  CONFIG-1:0] config_data,
    input  logic                                in_valid,
    output logic                                in_ready,
    input  logic [              LANES*BITS-1:0] in_data,
    output logic                                out_valid,
    output logic [                INTERNAL-1:0] out,
    output logic                                step_done,
    output logic                                idle
);
  localparam int ALL = UNITS * ELEMENTS;
  localparam int GROUPS = (ALL + LANES - 1) / LANES;
  localparam int GROUP = GROUPS > 1 ? $clog2(GROUPS) : 1;
  logic [$clog2(INSTRUCTIONS)-1:0] last_pc, pc;
  logic [WORD-1:0] last_word;
  logic [GROUP-1:0] group, last_group;
  logic [$clog2(2*DATA)-1:0] load_address;
  logic fetch, active, bank, out_next;
  logic [ALL-1:0] config_instruction, config_weight, load;
  logic [ALL*BITS-1:0] load_data;
  logic [UNITS*INTERNAL-1:0] firsts, lasts, buses;
  logic [UNITS-1:0] onward, outward;
  logic [INTERNAL-1:0] global_bus, global_next;

  sequencer #(.GROUPS(GROUPS), .DATA(DATA), .INSTRUCTIONS(INSTRUCTIONS), .WORD(WORD)) sequencer (
      .clk, .reset, .last_pc, .last_word, .last_group, .in_valid, .in_ready, .group, .load_address, .fetch, .pc, .active, .bank,
      .step_done, .idle
  );
  for (genvar e = 0; e < ALL; e++) begin : g_host
    assign config_instruction[e] = config_write && config_kind == 2'd0 && config_element == ($clog2(ALL))'(e);
    assign config_weight[e] = config_write && config_kind == 2'd1 && config_element == ($clog2(ALL))'(e);
    assign load[e] = in_valid && in_ready && group == GROUP'(e / LANES);
    assign load_data[e*BITS+:BITS] = in_data[(e%LANES)*BITS+:BITS];
  end
  for (genvar u = 0; u < UNITS; u++) begin : g_unit
    pu #(
        .ELEMENTS(ELEMENTS), .BITS(BITS), .INTERNAL(INTERNAL), .DATA(DATA), .WEIGHT(WEIGHT),
        .INTERMEDIATE(INTERMEDIATE), .INBOX(INBOX), .INSTRUCTIONS(INSTRUCTIONS), .INSTRUCTION(INSTRUCTION),
        .CONFIG(CONFIG), .CONFIG_ADDRESS(CONFIG_ADDRESS)
    ) unit (
        .clk, .fetch, .pc, .active, .bank, .config_instruction(config_instruction[u*ELEMENTS+:ELEMENTS]),
        .config_weight(config_weight[u*ELEMENTS+:ELEMENTS]), .config_address, .config_data,
        .load(load[u*ELEMENTS+:ELEMENTS]), .load_address, .load_data(load_data[u*ELEMENTS*BITS+:ELEMENTS*BITS]),
        .row_left(lasts[((u+UNITS-1)%UNITS)*INTERNAL+:INTERNAL]), .row_right(firsts[((u+1)%UNITS)*INTERNAL+:INTERNAL]),
        .global_bus, .first(firsts[u*INTERNAL+:INTERNAL]), .last(lasts[u*INTERNAL+:INTERNAL]),
        .bus(buses[u*INTERNAL+:INTERNAL]), .bus_onward(onward[u]), .bus_out(outward[u])
    );
  end

  always_comb begin
    global_next = '0;
    out_next = 1'b0;
    for (int u = 0; u < UNITS; u++) begin
      if (onward[u]) global_next |= buses[u*INTERNAL+:INTERNAL];
      out_next |= outward[u];
    end
  end
  assign out = global_bus;
  always_ff @(posedge clk) begin
    global_bus <= global_next;
    out_valid <= out_next && !reset;
    if (config_write && config_kind == 2'd2) last_pc <= config_data[$clog2(INSTRUCTIONS)-1:0];
    if (config_write && config_kind == 2'd3) {last_group, last_word} <= config_data[WORD+GROUP-1:0];
  end
endmodule
