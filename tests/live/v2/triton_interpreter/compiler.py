"""The compiling half of the backend, which is never called."""

from triton.backends.compiler import BaseBackend


class Compiler(BaseBackend):
    @staticmethod
    def supports_target(target):
        return target.backend == "cpu"

    def hash(self):
        return "interpreter"

    def parse_options(self, options):
        return options

    def add_stages(self, stages, options, language):
        pass

    def load_dialects(self, context):
        pass

    def get_module_map(self):
        return {}
