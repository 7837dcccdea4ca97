// Package platform holds the one sentence that the compiler says on a system that multiprolab does
// not support.
//
// What starts processes imports it, so that nothing else of the module comes to be compiled there,
// and no other error hides the sentence.
package platform
