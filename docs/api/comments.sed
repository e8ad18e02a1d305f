# Plain comments become those that Doxygen reads. The first of a header is about the file.
1s@^// @/// \\file\n/// @
s@^( *)//( |$)@\1///\2@
s@^(.*[;,{] +)// @\1///< @
