;; The JavaScript values that Prisma's query compiler works with, for a host without JavaScript.
;;
;; The compiler is Rust built for JavaScript: it builds its answer (a plan) by calling imports such as "new object" and
;; "set property", some 250 times for a small plan and tens of thousands of times for a big one. Each call answered by
;; Python costs about 10 us; here they stay inside WebAssembly. Python makes one call per request, and finds the whole
;; answer in this module's memory as JSON.
;;
;; JavaScript's values are objects on wasmtime's garbage-collected heap, passed as externref: what the compiler keeps
;; between calls (it caches property names) lives, what it drops is freed, and nobody has to count.
;;
;;     undefined, null, true, false    i31 0, 1, 2, 3
;;     number                          $number
;;     string                          $text: its UTF-8 bytes
;;     array                           $node: its items
;;     object                          $node: its keys and values in turn
;;
;; wasm_imports.py says which export of the last section answers which import of the compiler.
(module
  (import "compiler" "memory" (memory $theirs 1))
  (import "compiler" "__wbindgen_malloc" (func $malloc (param $size i32) (param $align i32) (result i32)))
  (import "compiler" "__wbindgen_externrefs" (table $references 0 externref))
  (import "compiler" "__externref_table_dealloc" (func $release (param $index i32)))
  ;; Both return (result, index of an error in $references, whether it failed).
  (import "compiler" "querycompiler_new" (func $new (param externref) (result i32 i32 i32)))
  (import "compiler" "querycompiler_compile"
    (func $compile (param $compiler i32) (param $address i32) (param $length i32) (result i32 i32 i32)))

  ;; Thrown when the compiler panics, before it runs into its own `unreachable`. That trap is a signal to wasmtime, and
  ;; Python's faulthandler, when enabled after wasmtime, takes the signal for the end of the process.
  (tag $give_up)

  (type $text (array (mut i8)))
  (type $number (struct (field $value f64)))
  (type $items (array (mut anyref)))
  (type $node (struct (field $is_array i32) (field $count (mut i32)) (field $items (mut (ref $items)))))

  ;; Requests come in and answers go out at address 0 of this memory.
  (memory $ours (export "memory") 16)
  ;; Where the answer being written ends.
  (global $end (mut i32) (i32.const 0))
  ;; The compiler's own address of its QueryCompiler object.
  (global $compiler (mut i32) (i32.const 0))
  (global $reason (mut externref) (ref.null extern))
  ;; Python puts the constructor's argument together on this stack.
  (table $stack 8 externref)
  (global $depth (mut i32) (i32.const 0))

  (data $error_prefix "Error: ")
  (data $false "false")
  (data $true "true")
  (data $null "null")
  (data $unicode_escape "\\u00")

  ;; ---- for Python: the constructor's argument ----------------------------------------------------------------------

  (func $push (param $value externref)
    (table.set $stack (global.get $depth) (local.get $value))
    (global.set $depth (i32.add (global.get $depth) (i32.const 1))))

  (func $pop (result externref)
    (global.set $depth (i32.sub (global.get $depth) (i32.const 1)))
    (table.get $stack (global.get $depth)))

  (func (export "push_object")
    (call $push (call $new_object)))

  (func (export "push_number") (param $value f64)
    (call $push (call $from_f64 (local.get $value))))

  (func (export "push_boolean") (param $value i32)
    (call $push (call $singleton (i32.sub (i32.const 3) (local.get $value)))))

  ;; The string is the first *length* bytes of our memory.
  (func (export "push_string") (param $length i32)
    (local $text (ref $text)) (local $i i32)
    (local.set $text (array.new_default $text (local.get $length)))
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $length))
        (then
          (array.set $text (local.get $text) (local.get $i) (i32.load8_u $ours (local.get $i)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    (call $push (extern.convert_any (local.get $text))))

  ;; Take a value and its key from the stack and set it on the object below.
  (func (export "set_pushed")
    (local $value externref) (local $key externref)
    (local.set $value (call $pop))
    (local.set $key (call $pop))
    (call $set_property
      (table.get $stack (i32.sub (global.get $depth) (i32.const 1))) (local.get $key) (local.get $value)))

  ;; ---- for Python: the calls ---------------------------------------------------------------------------------------
  ;; They return (outcome, length of the JSON in our memory): 0 and the answer, 1 and the compiler's error, or 2 and why
  ;; the compiler gave up, which is a text or the number of an import that we leave out.

  (func (export "open") (result i32 i32)
    (local $error i32) (local $failed i32)
    (block $given_up
      (try_table (catch $give_up $given_up)
        (call $new (call $pop))
        (local.set $failed)
        (local.set $error)
        (global.set $compiler))
      (if (local.get $failed) (then (return (i32.const 1) (call $answer (call $take (local.get $error))))))
      (return (i32.const 0) (call $answer (call $singleton (i32.const 1)))))
    (i32.const 2)
    (call $answer (global.get $reason)))

  ;; The request is the first *length* bytes of our memory. The compiler frees its copy.
  (func (export "compile") (param $length i32) (result i32 i32)
    (local $address i32) (local $plan i32) (local $error i32) (local $failed i32)
    (block $given_up
      (try_table (catch $give_up $given_up)
        (local.set $address (call $malloc (local.get $length) (i32.const 1)))
        (memory.copy $theirs $ours (local.get $address) (i32.const 0) (local.get $length))
        (call $compile (global.get $compiler) (local.get $address) (local.get $length))
        (local.set $failed)
        (local.set $error)
        (local.set $plan))
      (if (local.get $failed) (then (return (i32.const 1) (call $answer (call $take (local.get $error))))))
      (return (i32.const 0) (call $answer (call $take (local.get $plan)))))
    (i32.const 2)
    (call $answer (global.get $reason)))

  (func $take (param $index i32) (result externref)
    (table.get $references (local.get $index))
    (call $release (local.get $index)))

  ;; ---- writing JSON ------------------------------------------------------------------------------------------------

  (func $answer (param $value externref) (result i32)
    (global.set $end (i32.const 0))
    (call $write (any.convert_extern (local.get $value)))
    (global.get $end))

  ;; Make room for *bytes* more.
  (func $reserve (param $bytes i32)
    (local $missing i32)
    (local.set $missing
      (i32.sub
        (i32.add (global.get $end) (local.get $bytes))
        (i32.shl (memory.size $ours) (i32.const 16))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        ;; One MiB more than is missing, so that a big answer does not grow the memory page by page.
        (if (i32.eq
              (memory.grow $ours (i32.add (i32.shr_u (local.get $missing) (i32.const 16)) (i32.const 16)))
              (i32.const -1))
          (then (unreachable))))))

  (func $put (param $byte i32)
    (i32.store8 $ours (global.get $end) (local.get $byte))
    (global.set $end (i32.add (global.get $end) (i32.const 1))))

  (func $write (param $value anyref)
    ;; Enough for any number or word and the punctuation beside it.
    (call $reserve (i32.const 64))
    (if (ref.test (ref $text) (local.get $value))
      (then (return (call $write_text (ref.cast (ref $text) (local.get $value))))))
    (if (ref.test (ref $node) (local.get $value))
      (then (return (call $write_node (ref.cast (ref $node) (local.get $value))))))
    (if (ref.test (ref $number) (local.get $value))
      (then (return (call $write_number (struct.get $number $value (ref.cast (ref $number) (local.get $value)))))))
    (call $write_singleton (call $kind (local.get $value))))

  (func $write_singleton (param $kind i32)
    (if (i32.eq (local.get $kind) (i32.const 3))
      (then
        (memory.init $ours $false (global.get $end) (i32.const 0) (i32.const 5))
        (global.set $end (i32.add (global.get $end) (i32.const 5)))
        (return)))
    (if (i32.eq (local.get $kind) (i32.const 2))
      (then (memory.init $ours $true (global.get $end) (i32.const 0) (i32.const 4)))
      ;; As in JavaScript, undefined becomes null inside an array.
      (else (memory.init $ours $null (global.get $end) (i32.const 0) (i32.const 4))))
    (global.set $end (i32.add (global.get $end) (i32.const 4))))

  (func $write_node (param $node (ref $node))
    (if (struct.get $node $is_array (local.get $node))
      (then
        (call $put (i32.const 0x5b)) ;; [
        (call $write_items (struct.get $node $items (local.get $node)) (struct.get $node $count (local.get $node)))
        (call $put (i32.const 0x5d))) ;; ]
      (else
        (call $put (i32.const 0x7b)) ;; {
        (call $write_pairs (struct.get $node $items (local.get $node)) (struct.get $node $count (local.get $node)))
        (call $put (i32.const 0x7d))))) ;; }

  (func $write_items (param $items (ref $items)) (param $count i32)
    (local $i i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count))
        (then
          (if (local.get $i) (then (call $put (i32.const 0x2c)))) ;; ,
          (call $write (array.get $items (local.get $items) (local.get $i)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    (call $reserve (i32.const 64)))

  (func $write_pairs (param $items (ref $items)) (param $count i32)
    (local $i i32) (local $start i32) (local $value anyref)
    (local.set $start (global.get $end))
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count))
        (then
          (local.set $value (array.get $items (local.get $items) (i32.add (local.get $i) (i32.const 1))))
          ;; As in JavaScript, a property that is undefined is left out.
          (if (call $kind (local.get $value))
            (then
              (if (i32.ne (global.get $end) (local.get $start)) (then (call $put (i32.const 0x2c)))) ;; ,
              (call $write_text (ref.cast (ref $text) (array.get $items (local.get $items) (local.get $i))))
              (call $put (i32.const 0x3a)) ;; :
              (call $write (local.get $value))))
          (local.set $i (i32.add (local.get $i) (i32.const 2)))
          (br $next))))
    (call $reserve (i32.const 64)))

  (func $write_text (param $text (ref $text))
    (local $length i32) (local $i i32) (local $byte i32) (local $at i32)
    (local.set $length (array.len (local.get $text)))
    ;; At worst every byte becomes \u00xx.
    (call $reserve (i32.add (i32.mul (local.get $length) (i32.const 6)) (i32.const 64)))
    (call $put (i32.const 0x22)) ;; "
    ;; $end is kept in a local here: this loop is where most of the writing happens.
    (local.set $at (global.get $end))
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $length))
        (then
          (local.set $byte (array.get_u $text (local.get $text) (local.get $i)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (if (i32.lt_u (local.get $byte) (i32.const 0x20))
            (then
              (memory.init $ours $unicode_escape (local.get $at) (i32.const 0) (i32.const 4))
              (i32.store8 $ours offset=4 (local.get $at) (call $hex_digit (i32.shr_u (local.get $byte) (i32.const 4))))
              (i32.store8 $ours offset=5 (local.get $at) (call $hex_digit (i32.and (local.get $byte) (i32.const 15))))
              (local.set $at (i32.add (local.get $at) (i32.const 6)))
              (br $next)))
          (if (i32.or (i32.eq (local.get $byte) (i32.const 0x22)) (i32.eq (local.get $byte) (i32.const 0x5c)))
            (then
              (i32.store8 $ours (local.get $at) (i32.const 0x5c)) ;; \
              (local.set $at (i32.add (local.get $at) (i32.const 1)))))
          (i32.store8 $ours (local.get $at) (local.get $byte))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (global.set $end (local.get $at))
    (call $put (i32.const 0x22))) ;; "

  (func $hex_digit (param $digit i32) (result i32)
    (i32.add
      (local.get $digit)
      (select (i32.const 0x30) (i32.const 0x57) (i32.lt_u (local.get $digit) (i32.const 10))))) ;; 0-9 or a-f

  ;; Plans hold hardly a number that is not whole, and the decimal notation of one is long work: it is written as the
  ;; integer its 64 bits make, with "e0" behind, so that Python's JSON reader takes it for a float and asks wasm.py.
  (func $write_number (param $value f64)
    (if (call $is_safe (local.get $value))
      (then (return (call $write_integer (i64.trunc_f64_s (local.get $value))))))
    (call $write_integer (i64.reinterpret_f64 (local.get $value)))
    (call $put (i32.const 0x65)) ;; e
    (call $put (i32.const 0x30))) ;; 0

  (func $write_integer (param $value i64)
    (if (i64.lt_s (local.get $value) (i64.const 0))
      (then
        (call $put (i32.const 0x2d)) ;; -
        (local.set $value (i64.sub (i64.const 0) (local.get $value)))))
    (call $write_digits (local.get $value)))

  (func $write_digits (param $value i64)
    (if (i64.ge_u (local.get $value) (i64.const 10))
      (then (call $write_digits (i64.div_u (local.get $value) (i64.const 10)))))
    (call $put (i32.add (i32.const 0x30) (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10))))))

  ;; ---- values ------------------------------------------------------------------------------------------------------

  ;; Kinds 0, 1, 2, 3 are undefined, null, true, false; 4 is everything else.
  (func $singleton (param $kind i32) (result externref)
    (extern.convert_any (ref.i31 (local.get $kind))))

  (func $kind (param $value anyref) (result i32)
    (if (ref.is_null (local.get $value)) (then (return (i32.const 1))))
    (if (ref.test (ref i31) (local.get $value))
      (then (return (i31.get_u (ref.cast (ref i31) (local.get $value))))))
    (i32.const 4))

  (func $kind_of (param $value externref) (result i32)
    (call $kind (any.convert_extern (local.get $value))))

  (func $as_text (param $value externref) (result (ref $text))
    (ref.cast (ref $text) (any.convert_extern (local.get $value))))

  (func $as_node (param $value externref) (result (ref $node))
    (ref.cast (ref $node) (any.convert_extern (local.get $value))))

  (func $new_node (param $is_array i32) (result externref)
    (extern.convert_any
      (struct.new $node (local.get $is_array) (i32.const 0) (array.new_default $items (i32.const 8)))))

  (func $append (param $node (ref $node)) (param $value externref)
    (local $count i32) (local $items (ref $items)) (local $larger (ref $items))
    (local.set $count (struct.get $node $count (local.get $node)))
    (local.set $items (struct.get $node $items (local.get $node)))
    (if (i32.eq (local.get $count) (array.len (local.get $items)))
      (then
        (local.set $larger (array.new_default $items (i32.shl (local.get $count) (i32.const 1))))
        (array.copy $items $items (local.get $larger) (i32.const 0) (local.get $items) (i32.const 0) (local.get $count))
        (struct.set $node $items (local.get $node) (local.get $larger))
        (local.set $items (local.get $larger))))
    (array.set $items (local.get $items) (local.get $count) (any.convert_extern (local.get $value)))
    (struct.set $node $count (local.get $node) (i32.add (local.get $count) (i32.const 1))))

  ;; The value of a property, undefined when there is none.
  (func $lookup (param $object externref) (param $key externref) (result externref)
    (local $node (ref $node)) (local $items (ref $items)) (local $name (ref $text)) (local $i i32)
    (local.set $node (call $as_node (local.get $object)))
    (local.set $items (struct.get $node $items (local.get $node)))
    (local.set $name (call $as_text (local.get $key)))
    (loop $next
      (if (i32.lt_u (local.get $i) (struct.get $node $count (local.get $node)))
        (then
          (if (call $equal
                (local.get $name)
                (ref.cast (ref $text) (array.get $items (local.get $items) (local.get $i))))
            (then
              (return
                (extern.convert_any
                  (array.get $items (local.get $items) (i32.add (local.get $i) (i32.const 1)))))))
          (local.set $i (i32.add (local.get $i) (i32.const 2)))
          (br $next))))
    (call $singleton (i32.const 0)))

  (func $equal (param $one (ref $text)) (param $other (ref $text)) (result i32)
    (local $i i32)
    (if (i32.ne (array.len (local.get $one)) (array.len (local.get $other)))
      (then (return (i32.const 0))))
    (loop $next
      (if (i32.lt_u (local.get $i) (array.len (local.get $one)))
        (then
          (if (i32.ne
                (array.get_u $text (local.get $one) (local.get $i))
                (array.get_u $text (local.get $other) (local.get $i)))
            (then (return (i32.const 0))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    (i32.const 1))

  ;; Copy *length* bytes at *address* of the compiler's memory into *text* from index *at*.
  (func $fill (param $text (ref $text)) (param $at i32) (param $address i32) (param $length i32)
    (local $i i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $length))
        (then
          (array.set $text
            (local.get $text)
            (i32.add (local.get $at) (local.get $i))
            (i32.load8_u $theirs (i32.add (local.get $address) (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))))

  (func $is_safe (param $value f64) (result i32)
    (i32.and
      (f64.eq (f64.trunc (local.get $value)) (local.get $value))
      (f64.le (f64.abs (local.get $value)) (f64.const 9007199254740991))))

  ;; ---- answers to the compiler's imports: making values ------------------------------------------------------------

  ;; The first four entries are part of wasm-bindgen's contract; entry 0 stands for undefined too.
  (func (export "init_references")
    (local $base i32)
    (local.set $base (table.grow $references (call $singleton (i32.const 0)) (i32.const 4)))
    (table.set $references (i32.const 0) (call $singleton (i32.const 0)))
    (table.set $references (i32.add (local.get $base) (i32.const 1)) (call $singleton (i32.const 1)))
    (table.set $references (i32.add (local.get $base) (i32.const 2)) (call $singleton (i32.const 2)))
    (table.set $references (i32.add (local.get $base) (i32.const 3)) (call $singleton (i32.const 3))))

  (func $new_object (export "new_object") (result externref)
    (call $new_node (i32.const 0)))

  (func (export "new_array") (result externref)
    (call $new_node (i32.const 1)))

  (func $from_string (export "from_string") (param $address i32) (param $length i32) (result externref)
    (local $text (ref $text))
    (local.set $text (array.new_default $text (local.get $length)))
    (call $fill (local.get $text) (i32.const 0) (local.get $address) (local.get $length))
    (extern.convert_any (local.get $text)))

  ;; All the compiler does with an Error is to ask for String(error), so it is that string.
  (func (export "new_error") (param $address i32) (param $length i32) (result externref)
    (local $text (ref $text))
    (local.set $text (array.new_default $text (i32.add (local.get $length) (i32.const 7))))
    (array.init_data $text $error_prefix (local.get $text) (i32.const 0) (i32.const 0) (i32.const 7))
    (call $fill (local.get $text) (i32.const 7) (local.get $address) (local.get $length))
    (extern.convert_any (local.get $text)))

  (func $from_f64 (export "from_f64") (param $value f64) (result externref)
    (extern.convert_any (struct.new $number (local.get $value))))

  (func $set_property (export "set_property") (param $object externref) (param $key externref) (param $value externref)
    (local $node (ref $node))
    (local.set $node (call $as_node (local.get $object)))
    (call $append (local.get $node) (local.get $key))
    (call $append (local.get $node) (local.get $value)))

  ;; The compiler fills its arrays in order.
  (func (export "set_item") (param $array externref) (param $index i32) (param $value externref)
    (local $node (ref $node))
    (local.set $node (call $as_node (local.get $array)))
    (if (i32.ne (local.get $index) (struct.get $node $count (local.get $node))) (then (unreachable)))
    (call $append (local.get $node) (local.get $value)))

  ;; ---- answers to the compiler's imports: looking at values --------------------------------------------------------

  (func (export "get_property") (param $object externref) (param $key externref) (result externref)
    (call $lookup (local.get $object) (local.get $key)))

  (func (export "has_property") (param $key externref) (param $object externref) (result i32)
    (i32.ne (call $kind_of (call $lookup (local.get $object) (local.get $key))) (i32.const 0)))

  (func (export "is_undefined") (param $value externref) (result i32)
    (i32.eqz (call $kind_of (local.get $value))))

  ;; ==, which the compiler uses to ask whether a value is null or undefined.
  (func (export "loose_equal") (param $one externref) (param $other externref) (result i32)
    (i32.and
      (i32.lt_u (call $kind_of (local.get $one)) (i32.const 2))
      (i32.lt_u (call $kind_of (local.get $other)) (i32.const 2))))

  (func (export "is_object") (param $value externref) (result i32)
    (ref.test (ref $node) (any.convert_extern (local.get $value))))

  (func $is_string (export "is_string") (param $value externref) (result i32)
    (ref.test (ref $text) (any.convert_extern (local.get $value))))

  (func (export "is_safe_integer") (param $value externref) (result i32)
    (if (result i32) (ref.test (ref $number) (any.convert_extern (local.get $value)))
      (then (call $is_safe (call $to_number (local.get $value))))
      (else (i32.const 0))))

  (func $to_number (export "to_number") (param $value externref) (result f64)
    (struct.get $number $value (ref.cast (ref $number) (any.convert_extern (local.get $value)))))

  (func (export "boolean_get") (param $value externref) (result i32)
    (local $kind i32)
    (local.set $kind (call $kind_of (local.get $value)))
    (if (i32.eq (local.get $kind) (i32.const 2)) (then (return (i32.const 1))))
    (if (i32.eq (local.get $kind) (i32.const 3)) (then (return (i32.const 0))))
    (i32.const 0xffffff)) ;; no boolean

  ;; Store the address and length of a copy in the compiler's memory at *result*; zeros when *value* is no string.
  (func (export "string_get") (param $result i32) (param $value externref)
    (local $text (ref $text)) (local $length i32) (local $address i32) (local $i i32)
    (i64.store $theirs (local.get $result) (i64.const 0))
    (if (i32.eqz (call $is_string (local.get $value))) (then (return)))
    (local.set $text (call $as_text (local.get $value)))
    (local.set $length (array.len (local.get $text)))
    (local.set $address (call $malloc (local.get $length) (i32.const 1)))
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $length))
        (then
          (i32.store8 $theirs
            (i32.add (local.get $address) (local.get $i))
            (array.get_u $text (local.get $text) (local.get $i)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    (i32.store $theirs (local.get $result) (local.get $address))
    (i32.store $theirs offset=4 (local.get $result) (local.get $length)))

  ;; ---- answers to the compiler's imports: giving up ----------------------------------------------------------------

  ;; Rust's panic hook calls this with the message; the panic would end in a trap.
  (func $panic (export "panic") (param $address i32) (param $length i32)
    (global.set $reason (call $from_string (local.get $address) (local.get $length)))
    (throw $give_up))

  ;; An import that we leave out was called after all: *number* of the compiler's imports.
  (func (export "refuse") (param $number i32)
    (global.set $reason (call $from_f64 (f64.convert_i32_u (local.get $number))))
    (throw $give_up))
)
