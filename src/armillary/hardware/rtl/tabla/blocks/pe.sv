// A processing element: an ALU, memories of its own, and a program that says for every cycle of a step what each part does.
//
// An instruction holds fields of several operations under way: an operation reads memories in one cycle, chooses its
// operands in the next, computes in the one after that, and its result shows in the fourth, in which it may be written,
// driven on the bus and taken by neighbours. Whoever writes the program puts each field where its cycle is.
//
// Memories: data, the elements of inputs, in two banks so that the next come in meanwhile; weight, which stays from step
// to step; intermediate, own results, of which two can be read at once; inbox, what came from elsewhere.
module pe #(
    parameter int BITS           = 16,   // of an element of an input; half of them after the point
    parameter int INTERNAL       = 32,   // of every other number; half of them after the point
    parameter int DATA           = 16,   // words of a bank
    parameter int WEIGHT         = 64,   // words
    parameter int INTERMEDIATE   = 64,   // words
    parameter int INBOX          = 64,   // words
    parameter int INSTRUCTIONS   = 256,  // words
    parameter int INSTRUCTION    = 70,   // bits
    parameter int CONFIG         = 70,   // bits
    parameter int CONFIG_ADDRESS = 8     // bits
) (
    input  logic                            clk,
    input  logic                            fetch,
    input  logic [$clog2(INSTRUCTIONS)-1:0] pc,
    input  logic                            active,              // what was fetched in the cycle before counts
    input  logic                            bank,                // that the program reads
    input  logic                            config_instruction,  // writes, while nothing is fetched
    input  logic                            config_weight,
    input  logic [      CONFIG_ADDRESS-1:0] config_address,
    input  logic [              CONFIG-1:0] config_data,
    input  logic                            load,
    input  logic [        $clog2(2*DATA)-1:0] load_address,
    input  logic [                BITS-1:0] load_data,
    input  logic [            INTERNAL-1:0] left,
    input  logic [            INTERNAL-1:0] right,
    input  logic [            INTERNAL-1:0] bus,
    input  logic [            INTERNAL-1:0] global_bus,
    output logic [            INTERNAL-1:0] result,
    output logic [                     1:0] drive                // 1: the bus, 2: and the global one, 3: and out
);
  localparam int SHIFT = (INTERNAL - BITS) / 2;
  logic [INSTRUCTION-1:0] instruction;
  logic data_read, weight_read, first_read, second_read, inbox_read, weight_write, intermediate_write, inbox_write;
  logic [$clog2(DATA)-1:0] data_address;
  logic [$clog2(WEIGHT)-1:0] weight_address, weight_target;
  logic [$clog2(INTERMEDIATE)-1:0] first_address, second_address, intermediate_target;
  logic [$clog2(INBOX)-1:0] inbox_address, inbox_target;
  logic [3:0] a_source, b_source, operation;
  logic [1:0] inbox_source, drives;
  logic [BITS-1:0] data;
  logic [INTERNAL-1:0] weight, first, second, arrived, taken, a_next, b_next, a, b, computed;

  sram_1rw #(.WORDS(INSTRUCTIONS), .BITS(INSTRUCTION)) program_memory (
      .clk, .enable(fetch || config_instruction), .write(config_instruction),
      .address(config_instruction ? config_address[$clog2(INSTRUCTIONS)-1:0] : pc), .in(config_data[INSTRUCTION-1:0]),
      .out(instruction)
  );
  assign {
    data_read, data_address, weight_read, weight_address, first_read, first_address, second_read, second_address,
    inbox_read, inbox_address, a_source, b_source, operation, weight_write, weight_target, intermediate_write,
    intermediate_target, inbox_write, inbox_target, inbox_source, drives
  } = instruction;
  assign drive = active ? drives : 2'd0;

  sram_1r1w #(.WORDS(2 * DATA), .BITS(BITS)) data_memory (
      .clk, .read(active && data_read), .read_address({bank, data_address}), .out(data),
      .write(load), .write_address(load_address), .in(load_data)
  );
  sram_1r1w #(.WORDS(WEIGHT), .BITS(INTERNAL)) weight_memory (
      .clk, .read(active && weight_read), .read_address(weight_address), .out(weight),
      .write(config_weight || (active && weight_write)),
      .write_address(config_weight ? config_address[$clog2(WEIGHT)-1:0] : weight_target),
      .in(config_weight ? config_data[INTERNAL-1:0] : result)
  );
  sram_1r1w #(.WORDS(INTERMEDIATE), .BITS(INTERNAL)) first_memory (
      .clk, .read(active && first_read), .read_address(first_address), .out(first),
      .write(active && intermediate_write), .write_address(intermediate_target), .in(result)
  );
  sram_1r1w #(.WORDS(INTERMEDIATE), .BITS(INTERNAL)) second_memory (
      .clk, .read(active && second_read), .read_address(second_address), .out(second),
      .write(active && intermediate_write), .write_address(intermediate_target), .in(result)
  );
  sram_1r1w #(.WORDS(INBOX), .BITS(INTERNAL)) inbox_memory (
      .clk, .read(active && inbox_read), .read_address(inbox_address), .out(arrived),
      .write(active && inbox_write), .write_address(inbox_target), .in(taken)
  );

  always_comb begin
    case (inbox_source)
      2'd0: taken = left;
      2'd1: taken = right;
      2'd2: taken = bus;
      default: taken = global_bus;
    endcase
  end
  operand #(.BITS(BITS), .INTERNAL(INTERNAL), .SHIFT(SHIFT)) operand_a (
      .source(a_source), .data, .weight, .intermediate(first), .inbox(arrived), .result, .left, .right, .bus, .global_bus,
      .out(a_next)
  );
  operand #(.BITS(BITS), .INTERNAL(INTERNAL), .SHIFT(SHIFT)) operand_b (
      .source(b_source), .data, .weight, .intermediate(second), .inbox(arrived), .result, .left, .right, .bus,
      .global_bus, .out(b_next)
  );
  alu #(.INTERNAL(INTERNAL), .FRACTION(INTERNAL / 2)) alu (.operation, .a, .b, .out(computed));
  always_ff @(posedge clk) begin
    a <= a_next;
    b <= b_next;
    result <= computed;
  end
endmodule
