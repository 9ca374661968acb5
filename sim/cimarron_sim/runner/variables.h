// What the design's public variables hold.

#ifndef CIMARRON_VARIABLES_H
#define CIMARRON_VARIABLES_H

#include <cstdio>
#include <cstdlib>
#include <string>

#include "verilated.h"
#include "verilated_syms.h"

[[noreturn]] inline void fail(const std::string& sentence) {
    std::fprintf(stderr, "%s\n", sentence.c_str());
    std::exit(3);
}

// A variable of the design, wherever it is in the hierarchy; null if there is none. Elements of an array lie one after
// the other, low byte first.
inline const VerilatedVar* find_variable(VerilatedContext& context, const std::string& name) {
    const VerilatedVar* found = nullptr;
    for (const auto& scope : *context.scopeNameMap()) {
        const VerilatedVar* variable = scope.second->varFind(name.c_str());
        if (variable && found) fail("the design has more than one public variable " + name);
        if (variable) found = variable;
    }
    return found;
}

#endif
