// The accumulator: rows of DIM 32-bit sums in banks that read one row and write one row per cycle.
//
// Partial sums of the array are always taken: read in the cycle they come, added and written in the next. Results are
// read for the store unit, and rows written for the load unit, where the array leaves a bank's port free.
module accumulator #(
    parameter int DIM   = 16,
    parameter int ROWS  = 1024,
    parameter int BANKS = 2,
    parameter int PSUM  = 20,    // bits of a partial sum
    parameter int WIDTH = $clog2(ROWS)  // of a row number
) (
    input  logic                clk,
    input  logic                add,
    input  logic                add_fresh,    // write the sum instead of adding it
    input  logic [   WIDTH-1:0] add_row,
    input  logic [DIM*PSUM-1:0] add_data,
    input  logic                read_want,
    input  logic [   WIDTH-1:0] read_row,
    output logic                read_grant,
    output logic [  DIM*32-1:0] read_data,    // in the cycle after the grant
    input  logic                write_want,
    input  logic [   WIDTH-1:0] write_row,
    input  logic [  DIM*32-1:0] write_data,
    output logic                write_grant   // whether wanted or not
);
  localparam int SELECT = $clog2(BANKS);
  localparam int DEPTH = (ROWS + BANKS - 1) / BANKS;
  localparam int INDEX = $clog2(DEPTH);
  logic late, late_fresh, was_read;
  logic [WIDTH-1:0] late_row;
  logic [DIM*PSUM-1:0] late_data;
  logic [SELECT-1:0] add_bank, late_bank, read_bank, read_from, write_bank;
  logic [DIM*32-1:0] out[BANKS];
  logic [DIM*32-1:0] stored, sum;

  assign add_bank = add_row[SELECT-1:0];
  assign late_bank = late_row[SELECT-1:0];
  assign read_bank = read_row[SELECT-1:0];
  assign write_bank = write_row[SELECT-1:0];
  assign read_grant = read_want && !(add && !add_fresh && add_bank == read_bank);
  assign write_grant = !(late && late_bank == write_bank);
  assign read_data = was_read ? out[read_from] : '0;
  assign stored = out[late_bank];

  always_ff @(posedge clk) begin
    late     <= add;
    was_read <= read_grant;
    if (add) begin
      late_fresh <= add_fresh;
      late_row   <= add_row;
      late_data  <= add_data;
    end
    if (read_grant) read_from <= read_bank;
  end

  always_comb begin
    sum = '0;
    for (int d = 0; d < DIM; d++)
      if (late) sum[d*32+:32] = (late_fresh ? 32'd0 : stored[d*32+:32]) +
          {{(32 - PSUM) {late_data[d*PSUM+PSUM-1]}}, late_data[d*PSUM+:PSUM]};
  end

  for (genvar n = 0; n < BANKS; n++) begin : g_bank
    logic adds, reads, puts, fills;
    assign adds  = add && !add_fresh && add_bank == SELECT'(n);
    assign reads = read_grant && read_bank == SELECT'(n);
    assign puts  = late && late_bank == SELECT'(n);
    assign fills = write_want && write_grant && write_bank == SELECT'(n);
    sram_1r1w #(.WORDS(DEPTH), .BITS(DIM * 32)) memory (
        .clk, .read(adds || reads), .read_address(adds ? add_row[SELECT+:INDEX] : read_row[SELECT+:INDEX]),
        .out(out[n]), .write(puts || fills), .write_address(puts ? late_row[SELECT+:INDEX] : write_row[SELECT+:INDEX]),
        .in(puts ? sum : write_data)
    );
  end
endmodule
