// The scratchpad: rows of DIM bytes in banks of one port each, consecutive rows in consecutive banks.
//
// In each bank and cycle a write goes first, then port a, then port b. What is granted is there in the next cycle.
module scratchpad #(
    parameter int DIM   = 16,
    parameter int ROWS  = 4096,
    parameter int BANKS = 4,
    parameter int WIDTH = $clog2(ROWS)  // of a row number
) (
    input  logic             clk,
    input  logic [$clog2(BANKS)-1:0] banks,  // bits of a row's number that choose what counts as one bank
    input  logic             write,
    input  logic [WIDTH-1:0] write_row,
    input  logic [DIM*8-1:0] write_data,
    input  logic             a_want,
    input  logic [WIDTH-1:0] a_row,
    output logic             a_grant,
    output logic [DIM*8-1:0] a_data,
    input  logic             b_want,
    input  logic [WIDTH-1:0] b_row,
    output logic             b_grant,
    output logic [DIM*8-1:0] b_data
);
  localparam int SELECT = $clog2(BANKS);
  localparam int DEPTH = (ROWS + BANKS - 1) / BANKS;
  localparam int INDEX = $clog2(DEPTH);
  logic [SELECT-1:0] write_bank, a_bank, b_bank, a_from, b_from;
  logic [DIM*8-1:0] out[BANKS];

  assign write_bank = write_row[SELECT-1:0];
  assign a_bank = a_row[SELECT-1:0];
  assign b_bank = b_row[SELECT-1:0];
  assign a_grant = a_want && !(write && ((write_bank ^ a_bank) & banks) == 0);
  assign b_grant = b_want && !(write && ((write_bank ^ b_bank) & banks) == 0) && !(a_want && ((a_bank ^ b_bank) & banks) == 0);
  assign a_data = out[a_from];
  assign b_data = out[b_from];

  always_ff @(posedge clk) begin
    if (a_grant) a_from <= a_bank;
    if (b_grant) b_from <= b_bank;
  end

  for (genvar n = 0; n < BANKS; n++) begin : g_bank
    logic writes, reads_a, reads_b;
    logic [INDEX-1:0] index;
    assign writes = write && write_bank == SELECT'(n);
    assign reads_a = a_grant && a_bank == SELECT'(n);
    assign reads_b = b_grant && b_bank == SELECT'(n);
    assign index = writes ? write_row[SELECT+:INDEX] : reads_a ? a_row[SELECT+:INDEX] : b_row[SELECT+:INDEX];
    sram_1rw #(.WORDS(DEPTH), .BITS(DIM * 8)) memory (
        .clk, .enable(writes || reads_a || reads_b), .write(writes), .address(index), .in(write_data), .out(out[n])
    );
  end
endmodule
