// A processing unit: elements in a row, each joined to its neighbours, and a bus that one of them drives in a cycle.
//
// What is driven shows on the bus in the next cycle. It may go on to the global bus, and out, a cycle later.
module pu #(
    parameter int ELEMENTS       = 8,
    parameter int BITS           = 16,
    parameter int INTERNAL       = 32,
    parameter int DATA           = 16,
    parameter int WEIGHT         = 64,
    parameter int INTERMEDIATE   = 64,
    parameter int INBOX          = 64,
    parameter int INSTRUCTIONS   = 256,
    parameter int INSTRUCTION    = 70,
    parameter int CONFIG         = 70,
    parameter int CONFIG_ADDRESS = 8
) (
    input  logic                            clk,
    input  logic                            fetch,
    input  logic [$clog2(INSTRUCTIONS)-1:0] pc,
    input  logic                            active,
    input  logic                            bank,
    input  logic [            ELEMENTS-1:0] config_instruction,
    input  logic [            ELEMENTS-1:0] config_weight,
    input  logic [      CONFIG_ADDRESS-1:0] config_address,
    input  logic [              CONFIG-1:0] config_data,
    input  logic [            ELEMENTS-1:0] load,
    input  logic [      $clog2(2*DATA)-1:0] load_address,
    input  logic [       ELEMENTS*BITS-1:0] load_data,
    input  logic [            INTERNAL-1:0] row_left,            // result of the last element of the unit before
    input  logic [            INTERNAL-1:0] row_right,           // of the first of the unit behind
    input  logic [            INTERNAL-1:0] global_bus,
    output logic [            INTERNAL-1:0] first,
    output logic [            INTERNAL-1:0] last,
    output logic [            INTERNAL-1:0] bus,
    output logic                            bus_onward,          // the bus is for the global one
    output logic                            bus_out              // and for the outside
);
  logic [(ELEMENTS+2)*INTERNAL-1:0] row;  // results of the elements, between those of their neighbours
  logic [2*ELEMENTS-1:0] drives;
  logic [INTERNAL-1:0] driven;
  logic onward, out;

  assign row[0+:INTERNAL] = row_left;
  assign row[(ELEMENTS+1)*INTERNAL+:INTERNAL] = row_right;
  assign first = row[INTERNAL+:INTERNAL];
  assign last = row[ELEMENTS*INTERNAL+:INTERNAL];
  for (genvar e = 0; e < ELEMENTS; e++) begin : g_element
    pe #(
        .BITS(BITS), .INTERNAL(INTERNAL), .DATA(DATA), .WEIGHT(WEIGHT), .INTERMEDIATE(INTERMEDIATE), .INBOX(INBOX),
        .INSTRUCTIONS(INSTRUCTIONS), .INSTRUCTION(INSTRUCTION), .CONFIG(CONFIG), .CONFIG_ADDRESS(CONFIG_ADDRESS)
    ) element (
        .clk, .fetch, .pc, .active, .bank, .config_instruction(config_instruction[e]), .config_weight(config_weight[e]),
        .config_address, .config_data, .load(load[e]), .load_address, .load_data(load_data[e*BITS+:BITS]),
        .left(row[e*INTERNAL+:INTERNAL]), .right(row[(e+2)*INTERNAL+:INTERNAL]), .bus, .global_bus,
        .result(row[(e+1)*INTERNAL+:INTERNAL]), .drive(drives[2*e+:2])
    );
  end

  always_comb begin
    driven = '0;
    onward = 1'b0;
    out = 1'b0;
    for (int e = 0; e < ELEMENTS; e++) begin
      if (drives[2*e+:2] != 0) driven |= row[(e+1)*INTERNAL+:INTERNAL];
      onward |= drives[2*e+1];
      out |= &drives[2*e+:2];
    end
  end
  always_ff @(posedge clk) begin
    bus <= driven;
    bus_onward <= onward;
    bus_out <= out;
  end
endmodule
