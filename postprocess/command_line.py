"""What the commands share: see sifting.command_line."""

from sifting.command_line import Parser as Parser
from sifting.command_line import output_file as output_file
from sifting.command_line import run_command as run_command
