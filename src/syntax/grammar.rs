//! The parser made from `grammar/cell.pest`, and the words its rules have in messages.

use pest_derive::Parser;

/// The generated parser. [`Rule`] has one variant for each rule of the grammar.
#[derive(Parser)]
#[grammar = "../grammar/cell.pest"]
pub(super) struct CellParser;

/// Words that cannot be names.
pub(super) const RESERVED: [&str; 16] = [
    "use",
    "let",
    "op",
    "cell",
    "space",
    "net",
    "expect",
    "when",
    "otherwise",
    "require",
    "repeat",
    "as",
    "out",
    "and",
    "or",
    "not",
];

/// What a rule is called in "expected a, b or c".
///
/// Rules are named only if the parser can report them: a rule whose first part is the only thing
/// tried at its position is reported under that part's name.
pub(super) fn words(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::item
        | Rule::used
        | Rule::op
        | Rule::cell
        | Rule::space
        | Rule::net
        | Rule::expect => &["`use`", "`let`", "`op`", "`cell`", "`space`", "`net`", "`expect`"],
        Rule::op_stmt | Rule::cell_stmt => &["a statement"],
        Rule::space_item => &["a cell", "an option set", "an operation", "`let`", "`require`"],
        Rule::net_item => &["`input`", "`classes`", "`stem`", "`stack`", "`head`", "`aux`"],
        Rule::op_short | Rule::cell_same | Rule::assign => &["`=`"],
        Rule::op_block
        | Rule::cell_block
        | Rule::op_choice
        | Rule::choice
        | Rule::value_options
        | Rule::combine_options
        | Rule::open_brace => &["`{`"],
        Rule::close_brace => &["`}`"],
        Rule::arguments | Rule::call | Rule::value_call | Rule::cost_of | Rule::open_paren => {
            &["`(`"]
        }
        Rule::close_paren => &["`)`"],
        Rule::params | Rule::net_params | Rule::attrs | Rule::less => &["`<`"],
        Rule::greater => &["`>`"],
        Rule::comma => &["`,`"],
        Rule::colon => &["`:`"],
        Rule::question => &["`?`"],
        Rule::arrow => &["`=>`"],
        Rule::pipe => &["`|>`"],
        Rule::plus
        | Rule::minus
        | Rule::star
        | Rule::slash
        | Rule::percent
        | Rule::compare
        | Rule::combine_hole
        | Rule::kw_and
        | Rule::kw_or => &["an operator"],
        Rule::name | Rule::attr_name | Rule::binding | Rule::options => &["a name"],
        Rule::param => &["an attribute"],
        Rule::number => &["a number"],
        Rule::scale => &["a scale such as `6@768`"],
        Rule::dims => &["a size such as `32x32x3`"],
        Rule::string => &["a text in double quotes"],
        Rule::claim => &["a claim such as `params 3_346_538`"],
        Rule::figure => &["a published figure such as `params 3.3M`"],
        Rule::combine | Rule::combine_option => &["`+`", "`*`", "`concat`", "an operation"],
        Rule::op_ref | Rule::op_option | Rule::stages => &["an operation"],
        Rule::stack_entry | Rule::stacked | Rule::cell_use | Rule::times => &["a cell"],
        Rule::stack_group => &["`(`"],
        Rule::sent
        | Rule::option
        | Rule::expr
        | Rule::operand
        | Rule::paren
        | Rule::applied
        | Rule::hole => &[TENSOR],
        Rule::value
        | Rule::value_option
        | Rule::value_cost
        | Rule::attr
        | Rule::attr_value
        | Rule::value_sum
        | Rule::value_atom
        | Rule::value_paren
        | Rule::value_named
        | Rule::value_choice
        | Rule::pair
        | Rule::kw_not => &[VALUE],
        Rule::kw_use => &["`use`"],
        Rule::constant | Rule::kw_let => &["`let`"],
        Rule::kw_op => &["`op`"],
        Rule::kw_cell => &["`cell`"],
        Rule::kw_space => &["`space`"],
        Rule::kw_net => &["`net`"],
        Rule::kw_expect => &["`expect`"],
        Rule::require | Rule::kw_require => &["`require`"],
        Rule::arm | Rule::kw_when => &["`when`"],
        Rule::otherwise | Rule::kw_otherwise => &["`otherwise`"],
        Rule::repeat | Rule::kw_repeat => &["`repeat`"],
        Rule::output | Rule::kw_out => &["`out`"],
        Rule::kw_as => &["`as`"],
        Rule::stride | Rule::kw_stride => &["`stride`"],
        Rule::input | Rule::kw_input => &["`input`"],
        Rule::classes | Rule::kw_classes => &["`classes`"],
        Rule::stem | Rule::kw_stem => &["`stem`"],
        Rule::stack | Rule::kw_stack => &["`stack`"],
        Rule::head | Rule::kw_head => &["`head`"],
        Rule::aux | Rule::kw_aux => &["`aux`"],
        Rule::kw_after => &["`after`"],
        Rule::kw_stage => &["`stage`"],
        Rule::on | Rule::kw_on => &["`on`"],
        // These may stand where much likelier things may.
        Rule::weight
        | Rule::cost_scale
        | Rule::to
        | Rule::kw_to
        | Rule::at
        | Rule::kw_at
        | Rule::skip
        | Rule::kw_skip
        | Rule::published
        | Rule::kw_published => &[],
        Rule::EOI => &["the end of the item"],
        // Never tried while attempts are recorded: silent rules and the two roots.
        Rule::file
        | Rule::lone_item
        | Rule::WHITESPACE
        | Rule::COMMENT
        | Rule::BOM
        | Rule::word_char
        | Rule::word
        | Rule::reserved
        | Rule::negated
        | Rule::arithmetic
        | Rule::logical
        | Rule::digits
        | Rule::side => &[],
    }
}

/// The word for all rules that stand for a tensor expression.
pub(super) const TENSOR: &str = "a tensor";

/// The word for all rules that stand for a static value.
pub(super) const VALUE: &str = "a value";
