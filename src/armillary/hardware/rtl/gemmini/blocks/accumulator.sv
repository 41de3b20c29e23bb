// The accumulator: rows of DIM 32-bit sums in banks that read one row and write one row per cycle.
//
// Partial sums of the array are always taken: announced a cycle ahead, in which the row is read, then added and written.
// Results are read for the store unit where the array leaves a bank's port free. Rows of the load unit replace sums or
// are added to them, likewise in two cycles, where neither the array nor the store unit has the bank. Every bank has
// adders of its own, so that what it reads goes to them by no way but theirs.
module accumulator #(
    parameter int DIM   = 16,
    parameter int ROWS  = 1024,
    parameter int BANKS = 2,
    parameter int PSUM  = 20,    // bits of a partial sum
    parameter int WIDTH = $clog2(ROWS)  // of a row number
) (
    input  logic                     clk,
    input  logic                     reset,
    input  logic [$clog2(BANKS)-1:0] banks,        // bits of a row's number that choose what counts as one bank
    input  logic                     add,
    input  logic                     add_fresh,    // write the sum instead of adding it
    input  logic [        WIDTH-1:0] add_row,
    input  logic [     DIM*PSUM-1:0] add_data,     // in the next cycle
    input  logic                     may_read,     // set whenever `read_want` may be
    input  logic                     read_want,
    input  logic [        WIDTH-1:0] read_row,
    output logic                     read_grant,
    output logic [       DIM*32-1:0] read_data,    // in the cycle after the grant
    input  logic                     fill_want,
    input  logic                     fill_adds,
    input  logic [        WIDTH-1:0] fill_row,
    input  logic [       DIM*32-1:0] fill_data,
    output logic                     fill_grant    // whether wanted or not
);
  localparam int SELECT = $clog2(BANKS);
  localparam int DEPTH = (ROWS + BANKS - 1) / BANKS;
  localparam int INDEX = $clog2(DEPTH);
  logic late, late_fresh, was_read, filling, filling_adds;
  logic [WIDTH-1:0] late_row, filling_row;
  logic [DIM*32-1:0] filling_data;
  logic [SELECT-1:0] read_from;
  logic [DIM*32-1:0] out[BANKS];

  function automatic logic same(input logic [SELECT-1:0] one, input logic [SELECT-1:0] other, input logic [SELECT-1:0] by);
    same = ((one ^ other) & by) == 0;
  endfunction
  logic [SELECT-1:0] add_bank, read_bank, fill_bank;
  assign add_bank = add_row[SELECT-1:0];
  assign read_bank = read_row[SELECT-1:0];
  assign fill_bank = fill_row[SELECT-1:0];

  assign read_grant = read_want && !(add && !add_fresh && same(add_bank, read_bank, banks));
  assign fill_grant = !(add && same(add_bank, fill_bank, banks)) &&
      !(fill_adds && may_read && same(read_bank, fill_bank, banks)) && !(filling && filling_row == fill_row);
  assign read_data = was_read ? out[read_from] : '0;

  always_ff @(posedge clk) begin
    late     <= add && !reset;
    was_read <= read_grant;
    filling  <= fill_want && fill_grant && !reset;
    if (add) begin
      late_fresh <= add_fresh;
      late_row   <= add_row;
    end
    if (read_grant) read_from <= read_bank;
    if (fill_want && fill_grant) begin
      filling_adds <= fill_adds;
      filling_row  <= fill_row;
      filling_data <= fill_data;
    end
  end

  for (genvar n = 0; n < BANKS; n++) begin : g_bank
    logic adds, reads, puts, fill_reads, fill_puts, keeps;
    logic [DIM*32-1:0] sum;
    assign adds = add && !add_fresh && add_bank == SELECT'(n);
    assign reads = read_grant && read_bank == SELECT'(n);
    assign fill_reads = fill_want && fill_grant && fill_adds && fill_bank == SELECT'(n);
    assign puts = late && late_row[SELECT-1:0] == SELECT'(n);
    assign fill_puts = filling && filling_row[SELECT-1:0] == SELECT'(n);
    assign keeps = puts ? !late_fresh : filling_adds;
    always_comb begin
      sum = 'x;  // nothing is written
      if (puts || fill_puts)
        for (int d = 0; d < DIM; d++)
        sum[d*32+:32] = (keeps ? out[n][d*32+:32] : '0) +
            (puts ? {{(32 - PSUM) {add_data[d*PSUM+PSUM-1]}}, add_data[d*PSUM+:PSUM]} : filling_data[d*32+:32]);
    end
    sram_1r1w #(.WORDS(DEPTH), .BITS(DIM * 32)) memory (
        .clk, .read(adds || reads || fill_reads),
        .read_address(adds ? add_row[SELECT+:INDEX] : reads ? read_row[SELECT+:INDEX] : fill_row[SELECT+:INDEX]),
        .out(out[n]), .write(puts || fill_puts),
        .write_address(puts ? late_row[SELECT+:INDEX] : filling_row[SELECT+:INDEX]), .in(sum)
    );
  end
endmodule
